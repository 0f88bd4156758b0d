"""One form of a captioner, float32 or int8: its three graphs, and the proof that they are sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from quartet.artifact import (
    ENCODER_FILE,
    ENCODER_GOLDEN_FILE,
    MODEL_FILE,
    PREFILL_FILE,
    CaptionGolden,
    Golden,
)
from training.caption.conversion import rules_of
from training.caption.decoding import BeamSettings
from training.caption.goldens import Search, make_caption_golden
from training.caption.graph_search import CaptionGraphs
from training.caption.graphs.network import IMAGE
from training.caption.proof import check_encoder, clipped
from training.data.caption_text import BEGIN
from training.export.engine import onnx_predict
from training.export.golden import make_golden
from training.export.parity import ParityReport, Tolerance
from training.export.predict import Predict, take_rows
from training.graphs.goldens import ROWS, GeneratorInputs, draw_inputs
from training.graphs.proof import Pair, check_graphs, make_goldens
from training.graphs.stepping import Step
from training.graphs.weights import Floats
from training.vision.drawings import Pixels

ENCODER_GOLDEN = Tolerance(atol=5e-2, rtol=0.0)
"""Of constants and states, most of which lie in (-1, 1). Room for TF32 products on GPUs in every
one of many layers."""
ENCODER_GOLDEN_INT8 = Tolerance(atol=0.4, rtol=0.0)
"""The same with integer activations: where a kernel rounds one to the next, the layers behind it
follow. Fused and unfused, an encoder of 18 layers gave values and keys that differ by 0.004 (root
mean square) and by up to 0.11 in places, of numbers that spread by 0.7 and more; the loss of 8 bits
itself was ten times that."""

Files = Mapping[str, onnx.ModelProto]
"""File name -> graph."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a form is tried on, and how it is searched."""

    images: Pixels
    """Drawn, [N, S, S, 3]; golden captions are chosen from them."""
    start: Mapping[str, Floats]
    """What captions begin with, by input name, [rows, ...]."""
    symbols: Sequence[str]
    """The vocabulary."""
    settings: BeamSettings
    """Of golden captions."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a form is held to."""

    encoder: Predict
    rows: Pair
    step: Step
    search: Search
    true_scores: bool
    """Whether ``step`` gives scores, not log-probabilities."""
    source: str
    """Of the golden files."""
    label: str
    """In reports."""
    tolerance: Tolerance
    """Of decode and prefill."""
    encoder_tolerance: Tolerance
    encoder_golden: Tolerance
    """Of the encoder's golden file."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A form that is sound."""

    parity: Mapping[str, ParityReport]
    goldens: Mapping[str, Golden]
    captions: CaptionGolden


def runnable(files: Files, symbols: Sequence[str], *, optimize: bool = True) -> CaptionGraphs:
    """The graphs that a search needs, on ONNX Runtime."""
    return CaptionGraphs(
        encoder=onnx_predict(files[ENCODER_FILE], optimize=optimize),
        decode=onnx_predict(files[MODEL_FILE], optimize=optimize),
        begin=symbols.index(BEGIN),
    )


def prove(files: Files, held: Held, material: Material) -> Proof:
    """Hold all graphs, and the captions they give together, to ``held``.

    Raises:
        ExportError: a difference that is not allowed.
    """
    graphs = runnable(files, material.symbols)
    pair = Pair(graphs.decode, onnx_predict(files[PREFILL_FILE])).without_ranking()
    images = {IMAGE: material.images}
    tried, stored = (
        _draw(material, held, rows) for rows in (len(next(iter(material.start.values()))), ROWS)
    )
    rows = check_graphs(clipped(pair), clipped(held.rows), tried, held.tolerance, held.label)
    encoder = check_encoder(
        graphs.encoder, held.encoder, images, held.encoder_tolerance, held.label
    )
    pictures = take_rows(images, np.arange(ROWS))
    return Proof(
        parity={**rows, ENCODER_FILE: encoder},
        goldens={
            **make_goldens(pair, held.rows, stored, held.source),
            ENCODER_GOLDEN_FILE: make_golden(
                pictures, held.encoder, graphs.encoder, held.encoder_golden, held.source
            ),
        },
        captions=make_caption_golden(
            graphs,
            held.search,
            material.images,
            (material.settings, material.symbols),
            held.source,
        ),
    )


def _draw(material: Material, held: Held, rows: int) -> GeneratorInputs:
    # Only true scores tell the sign that the repetition penalty depends on.
    return draw_inputs(
        held.step,
        take_rows(material.start, np.arange(rows)),
        len(material.symbols),
        rules_of(tuple(material.symbols)),
        repetition=held.true_scores,
    )
