"""What the model card says of a captioner beside its figures."""

from training.caption.config import CaptionConfig
from training.caption.model import Captioner
from training.data.captioned_images import FLICKR8K
from training.export.spec import CardFacts
from training.vision.pretrained import TORCHVISION

TIMED_WORDS = 12
"""Steps of the timed searches."""
TIMED_BEAMS = 3
"""Their rows a picture."""


def facts(config: CaptionConfig, captioner: Captioner) -> CardFacts:
    """Facts of a trained captioner."""
    model, published = config.model, config.dataset == FLICKR8K and config.data.verify
    encoder, decoder = (
        sum(parameter.numel() for parameter in module.parameters())
        for module in (captioner.encoder, captioner.model)
    )
    return CardFacts(
        title=f"What a photograph shows, in words ({model.decoder})",
        purpose=_PURPOSE.format(side=config.data.side),
        limits=_LIMITS if published else _LIMITS[:-1],
        data=_DATA if published else _OTHER_DATA,
        terms=_TERMS if published else "those of the data's owner.",
        architecture=f"{_encoder_text(config)}, {encoder:,} parameters; {_DECODERS[model.decoder]} "
        f"LSTM of {model.width} units, {len(captioner.model.symbols)} symbols, {decoder:,} "
        "parameters.",
        speed_unit=f"picture searched with {TIMED_BEAMS} beams for {TIMED_WORDS} words",
    )


def _encoder_text(config: CaptionConfig) -> str:
    if config.encoder.startswith(TORCHVISION):
        name = config.encoder.removeprefix(TORCHVISION)
        return f"Encoder: torchvision's {name} with ImageNet's weights"
    return (
        f"Encoder: residual network (He et al. 2016) of {config.model.residual.blocks} blocks a "
        "stage, trained here"
    )


_DECODERS = {
    "attention": 'decoder: soft attention with its gate (Xu et al. 2015, "Show, Attend and Tell"),',
    "plain": 'decoder: the picture is read before the first word (Vinyals et al. 2015, "Show and '
    'Tell"),',
}
_PURPOSE = """\
Captions photographs in English, in the manner of the people who wrote its training captions: one
plain sentence, lower case, without punctuation. `encoder.onnx` takes pictures squeezed to
{side} x {side} pixels, uint8 RGB, and gives what a caption begins with; `model.onnx` writes any
number of words in one run with the drawing inside, `prefill.onnx` reads words; these two refer to
`weights.bin`. What they take and give is laid down in `quartet/generation.py`. The file named below
holds the weights of the decoder; those of the encoder lie in `encoder.onnx`."""
_LIMITS = (
    "It is often wrong, and says wrong things as fluently as right ones; the figures below tell "
    "how often. No decision about a person or a place should rest on a caption.",
    "It knows the words of its training captions alone, and prefers the frequent ones: a rare "
    "thing is called by the name of a frequent one.",
    "It says man, woman, boy or girl as its training captions do, by looks and by what usually "
    "goes together; it repeats their stereotypes.",
    "A caption's log-probability says how likely the words are to the model, not whether they are "
    "true.",
    "The attention of a word shows which places weighed in its choice, not why.",
    "float32 and int8 may caption a picture differently.",
    "Its training photographs show people and dogs out of doors for the most part; of other scenes "
    "it knows little.",
)
_DATA = """\
Flickr8k (M. Hodosh, P. Young, J. Hockenmaier, "Framing Image Description as a Ranking Task", JAIR
47, 2013): 8,000 photographs with five captions each, 6,000 to train, 1,000 to choose, 1,000 for the
test. No picture or caption of it is part of this folder; the pictures in the golden files are drawn
by `training.vision.drawings`."""
_OTHER_DATA = """\
Photographs with captions of the trainer's own; a checksum stands in each version's `run.json`."""
_TERMS = (
    "Flickr8k is for non-commercial research and education; its photographs belong to their "
    "owners on Flickr."
)
