"""Evaluates a trained run of family ``text``; what ``quartet evaluate`` writes of it.

A split's loss is read as validation reads it in training, but in float32 always:
``data.validation_streams`` parallel streams, the state carried through each from zero. The whole
held-out tenth of the text, validation and test, on which published figures are given, is read as
one stream; it is measured with the test split alone, for it shows it.
"""

import json
import math
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from training.data.idx import DataError
from training.evaluation.spec import Evaluation, Figures, Split
from training.rundir import RunDirectory
from training.runtime import one_thread
from training.text import ngram
from training.text.copying import measure_copying
from training.text.data import Corpus, load_corpus
from training.text.ngram import Ids
from training.text.plots import plot_context, plot_copying
from training.text.reading import context_losses
from training.text.streams import stream_loss
from training.text.task import load_trained

_LN_2 = math.log(2)


class TextEvaluation:
    """One run directory of family ``text``, with the text it is judged by.

    Args:
        run_dir: what ``quartet train text`` wrote.
        data_dir: folder of data sets; read when a split is first asked for.

    Raises:
        ConfigError: ``run_dir`` is no run of this family.
        CheckpointError: its weights are missing or damaged.
        DataError: (from the methods that read data) the text is missing, or not the one that the
            run was trained on.
    """

    def __init__(self, run_dir: Path, data_dir: Path) -> None:
        config, self.model = load_trained(run_dir)
        self.config = config.model_copy(update={"data_dir": data_dir})
        self._run_dir = run_dir

    @cached_property
    def corpus(self) -> Corpus:
        """The text."""
        corpus = load_corpus(self.config)
        _check_same_text(corpus, self._run_dir, self.model.symbols)
        return corpus

    def data_checksums(self) -> dict[str, str]:
        """SHA-256 of the text's file, under the corpus's name."""
        return {self.corpus.name: self.corpus.checksum}

    @one_thread()
    def evaluate(self, split: Split) -> Evaluation:
        """Loss beside that of the n-gram model, loss by context, copying; two pictures."""
        corpus = self.corpus
        text = corpus.test if split == "test" else corpus.validation
        loss = stream_loss(self.model, text, self.config.data.validation_streams)
        figures: Figures = _loss_figures(loss, len(text) - 1)
        if split == "test":
            held_out = stream_loss(self.model, corpus.held_out, streams=1)
            figures["held_out"] = _loss_figures(held_out, len(corpus.held_out) - 1)
        figures["ngram"] = self._ngram_figures(figures, text)
        figures["context"] = context_losses(self.model, text)
        figures["copying"] = measure_copying(self.model, _ids(corpus.train), _ids(text))
        return Evaluation(
            figures=figures,
            plots={
                "context": partial(plot_context, figures),
                "copying": partial(plot_copying, figures),
            },
        )

    def _ngram_figures(self, figures: Figures, text: Tensor) -> dict[str, Any]:
        train, symbols = _ids(self.corpus.train), len(self.corpus.symbols)
        settings = ngram.tune(train, symbols)
        bits = ngram.ngram_loss(train, _ids(text), symbols, settings) / _LN_2
        found: dict[str, Any] = {
            "order": ngram.ORDER,
            "bits_per_character": bits,
            "ratio": figures["bits_per_character"] / bits,
        }
        if "held_out" in figures:
            held_out = _ids(self.corpus.held_out)
            bits = ngram.ngram_loss(train, held_out, symbols, settings) / _LN_2
            ratio = figures["held_out"]["bits_per_character"] / bits
            found["held_out"] = {"bits_per_character": bits, "ratio": ratio}
        return found


def open_run(run_dir: Path, data_dir: Path) -> TextEvaluation:
    """The family's entry for ``training.trained``."""
    return TextEvaluation(run_dir, data_dir)


def describe(figures: Figures) -> str:
    """The figures as text for a terminal."""
    lines = [_loss_line("loss", figures)]
    held_out = figures.get("held_out")
    baseline = figures["ngram"]
    if held_out:
        lines.append(_loss_line("validation and test in one stream", held_out))
    lines.append(
        f"interpolated {baseline['order']}-gram: {baseline['bits_per_character']:.4f} bits, "
        f"the model has {baseline['ratio']:.3f} of that"
    )
    if held_out:
        both = baseline["held_out"]
        lines[-1] += f"; in one stream {both['bits_per_character']:.4f}, {both['ratio']:.3f}"
    copying = figures["copying"]
    lines.append(
        f"longest pieces that stand in the training text, of {copying['texts']} texts of "
        f"{copying['characters']} characters:"
    )
    lines.append(f"{'':>16} {'longest':>8} {'median':>8} {'copied':>8}")
    for name, row in copying["sources"].items():
        lines.append(f"{name:>16} {row['longest']:>8} {row['median']:>8.1f} {row['copied']:>8.2%}")
    return "\n".join(lines)


def card_section(figures: Figures) -> str:
    """Markdown of the test split's figures, for the model card."""
    held_out, baseline, copying = figures["held_out"], figures["ngram"], figures["copying"]
    lines = [
        "| read | characters | nats | bits a character | perplexity | "
        f"interpolated {baseline['order']}-gram, bits |",
        "|---|---|---|---|---|---|",
        _card_row("test split", figures, baseline),
        _card_row("last tenth of the text in one stream", held_out, baseline["held_out"]),
        "",
        "In PyTorch, float32. The n-gram model has modified Kneser-Ney smoothing, tuned on the end "
        "of the training split.",
        "",
        f"Copying, in {copying['texts']} texts of {copying['characters']} characters each: the "
        "longest piece that stands word for word in the training text (of all texts, and the "
        f"median text's), and the share of characters in such pieces of {copying['threshold']} or "
        "more. Held-out text shows what the text repeats by itself.",
        "",
        "| text | longest | median | copied |",
        "|---|---|---|---|",
    ]
    for name, row in copying["sources"].items():
        lines.append(f"| {name} | {row['longest']} | {row['median']:.1f} | {row['copied']:.2%} |")
    return "\n".join(lines)


def _check_same_text(corpus: Corpus, run_dir: Path, symbols: tuple[str, ...]) -> None:
    """Raises DataError if the run was trained on another text than ``corpus``."""
    summary = RunDirectory(run_dir).summary
    facts = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
    trained = facts.get("data", {}).get(corpus.name, corpus.checksum)
    if corpus.checksum != trained:
        raise DataError(
            f"{corpus.name}: the run was trained on a text of SHA-256 {trained}, this one has "
            f"{corpus.checksum}"
        )
    if corpus.symbols != symbols:
        raise DataError(
            f"{corpus.name}: the run was trained on a text of {len(symbols)} symbols, this one "
            f"has {len(corpus.symbols)}, not all of them the same"
        )


def _ids(split: Tensor) -> Ids:
    return split.numpy().astype(np.int64)


def _loss_figures(loss: float, count: int) -> dict[str, Any]:
    return {
        "count": count,
        "loss": loss,
        "bits_per_character": loss / _LN_2,
        "perplexity": math.exp(loss),
    }


def _loss_line(name: str, figures: Figures) -> str:
    return (
        f"{name} {figures['loss']:.4f} nats, {figures['bits_per_character']:.4f} bits per "
        f"character, perplexity {figures['perplexity']:.3f} ({figures['count']} characters)"
    )


def _card_row(name: str, figures: Figures, baseline: Figures) -> str:
    return (
        f"| {name} | {figures['count']:,} | {figures['loss']:.4f} | "
        f"{figures['bits_per_character']:.4f} | {figures['perplexity']:.3f} | "
        f"{baseline['bits_per_character']:.4f} |"
    )
