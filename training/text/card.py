"""What the model card says of a character model beside its figures."""

from training.export.spec import CardFacts
from training.text.config import TextConfig
from training.text.model import CharModel
from training.text.samples import sample_sheet


def facts(config: TextConfig, model: CharModel) -> CardFacts:
    """Facts of a trained model, with samples written by it."""
    known = config.corpus if config.corpus in _DATA and config.data.verify else ""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    layers, width = config.model.layers, config.model.width
    return CardFacts(
        title=_TITLES.get(known, "Text, character by character"),
        purpose=_PURPOSE,
        limits=_LIMITS,
        data=_DATA.get(known, _OTHER_DATA),
        terms=_TERMS.get(known, "those of the text's owner."),
        architecture=f"{_ARCHITECTURES[config.model.cell]} {layers} layers of {width} units, "
        f"{len(model.symbols)} symbols, {parameters:,} parameters.",
        sections={"Samples": f"{_SAMPLES}\n\n{sample_sheet(model)}"},
        speed_unit="row of 16 symbols",
    )


_TITLES = {
    "shakespeare": "Plays in the manner of Shakespeare",
    "obama": "Speeches in the manner of Barack Obama",
}
_PURPOSE = """\
Continues a text, one character at a time. A prompt is optional; characters that the vocabulary
lacks are replaced by near ones or refused, as the request says. `model.onnx` makes any number of
steps in one run with the drawing inside, `prefill.onnx` reads a prompt; both refer to
`weights.bin`. What they take and give is laid down in `quartet/generation.py`. The same seed gives
the same text, alone or in a crowd."""
_LIMITS = (
    "It knows characters, not facts: what it says is made up, names, dates and quotations too, and "
    "must not be taken for words of the person whose manner it has.",
    "It holds a thread for a sentence or two, then drifts.",
    "It may repeat pieces of its training text word for word; see the copying figures below.",
    "It writes what its training text had: one language, one manner, and whatever bias is in it.",
    "float32 and int8 draw different texts from the same seed: a symbol near the border of its "
    "share falls to the one or the other.",
)
_DATA = {
    "shakespeare": """\
A. Karpathy's "tinyshakespeare" (char-rnn, 2015): 1,115,394 characters of plays by William
Shakespeare. The first 90 % train, the next 5 % chose the checkpoint, the last 5 % are the test.""",
    "obama": """\
Speeches of Barack Obama, collected by samim for "obama-rnn" (2015): 1,074,979 characters. The first
90 % train, the next 5 % chose the checkpoint, the last 5 % are the test. Speeches repeat stock
phrases across that cut, which flatters every loss measured on it.""",
}
_OTHER_DATA = """\
A text of the trainer's own; its checksum stands in each version's `run.json`. The first 90 % train,
the next 5 % chose the checkpoint, the last 5 % are the test."""
_TERMS = {
    "shakespeare": "public domain.",
    "obama": "public speeches; those held in federal office are works of the United States "
    "government.",
}
_SAMPLES = "The first draws of a fixed seed in PyTorch, float32; nothing was picked."
_ARCHITECTURES = {
    "rnn": "Recurrent network (Elman 1990) on character embeddings:",
    "gru": "Gated recurrent units (Cho et al. 2014) on character embeddings:",
    "lstm": "Long short-term memory (Hochreiter, Schmidhuber 1997) on character embeddings:",
    "tcn": "Temporal convolutional network (Bai, Kolter, Koltun 2018) on character embeddings:",
}
