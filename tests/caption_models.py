"""Captioners with random weights, as the exporter writes them: small, quick, and never dull.

The encoder looks at four quarters of a picture, so pictures differ in what is said of them; the
decoder is the exporter's own. Weights are scaled so that a wrong state, constant or random number
shows within a few words.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper
from PIL import Image

from quartet.artifact import (
    ENCODER_FILE,
    ENCODER_GOLDEN_FILE,
    GOLDEN_FILE,
    METADATA_KEY,
    MODEL_FILE,
    PREFILL_FILE,
    PREFILL_GOLDEN_FILE,
    Golden,
    ImageCaptioningTask,
    ImageSpec,
    dump_task,
    save_golden,
)
from tests.text_models import TEXT_TOLERANCE, predict_with
from training.caption.graphs.build import build_graphs
from training.caption.graphs.network import CELL, HIDDEN, KEYS, VALUES
from training.caption.graphs.weights import AttentionWeights, CaptionWeights
from training.export.files import write_graphs
from training.export.format import IR_VERSION, OPSET
from training.export.predict import Arrays
from training.graphs.build import GeneratorGraphs
from training.graphs.builder import FLOAT, UINT8, GraphBuilder, Value
from training.graphs.goldens import draw_inputs
from training.graphs.network import BATCH
from training.graphs.rules import SymbolRules
from training.graphs.stepping import graph_step
from training.graphs.weights import Floats, RecurrentLayer

BEGIN, END, UNKNOWN = "<start>", "<end>", "<unk>"
WORDS = ("a", "dog", "cat", "man", "runs", "sits", "on", "in", "grass", "snow", "red", "the")
VOCABULARY = (BEGIN, END, UNKNOWN, *WORDS)
HIDDEN_SYMBOLS = (BEGIN, UNKNOWN)
RULES = SymbolRules(hidden=(0, 2), stop=(1,))
SIDE = 8
"""Of the encoder's input, pixels."""
GRID = (2, 2)
PLACES = 4
NEVER = -1e4
"""Added to the score of hidden symbols, as the network does."""
_WIDTH, _EMBEDDING, _VALUES, _KEYS, _OUTPUT = 16, 8, 12, 10, 14


def make_caption_model(
    folder: Path,
    *,
    attention: bool = True,
    seed: int = 0,
    version: int = 1,
    goldens: bool = True,
    **declaration: Any,
) -> Path:
    """Write ``<folder>/<version>`` with three graphs, their weights and their golden files.

    Args:
        folder: the model's folder in a repository; made if need be. Its name is the model's.
        attention: whether the decoder has one; else there are no constants.
        seed: of the weights.
        version: number of the version's folder.
        goldens: also write the golden files.
        declaration: fields of ``ImageCaptioningTask`` other than those that follow from the rest.

    Returns:
        ``<folder>/<version>``.
    """
    random = np.random.default_rng(seed)
    graphs = build_graphs(random_weights(random, attention=attention), RULES, "float32")
    encoder = make_encoder(random, attention=attention)
    task = caption_task(graphs, attention=attention, **declaration)
    helper.set_model_props(graphs.decode, {METADATA_KEY: dump_task(task)})
    target = folder / str(version)
    target.mkdir(parents=True)
    write_graphs(target, {MODEL_FILE: graphs.decode, PREFILL_FILE: graphs.prefill})
    write_graphs(target, {ENCODER_FILE: encoder})
    if goldens:
        _write_goldens(target, graphs, encoder)
    return target


def caption_task(
    graphs: GeneratorGraphs, *, attention: bool, **declaration: Any
) -> ImageCaptioningTask:
    """What the model says of itself; ``declaration`` overrides."""
    fields: dict[str, Any] = {
        "vocabulary": VOCABULARY,
        "states": graphs.states,
        "constants": graphs.constants,
        "begin": BEGIN,
        "stop": (END,),
        "unknown": UNKNOWN,
        "hidden": HIDDEN_SYMBOLS,
        "grid": GRID if attention else None,
        "image": ImageSpec(layout="HWC", height=SIDE, width=SIDE, mode="RGB"),
        "steps": 4,
        "max_tokens": 40,
        **declaration,
    }
    return ImageCaptioningTask.model_validate(fields)


def random_weights(random: np.random.Generator, *, attention: bool) -> CaptionWeights:
    """Weights of the decoder."""
    symbols = len(VOCABULARY)

    def normal(*shape: int, scale: float = 1.0) -> Floats:
        return np.asarray(random.standard_normal(shape) * scale, np.float32)

    below = _EMBEDDING + (_VALUES if attention else 0)
    scores_bias = normal(symbols, scale=0.3)
    scores_bias[list(RULES.stop)] += 1.5  # some captions end by themselves
    scores_bias[list(RULES.hidden)] += NEVER
    return CaptionWeights(
        words=np.tanh(normal(symbols, _EMBEDDING)),
        attention=AttentionWeights(
            places=PLACES,
            values=_VALUES,
            query=normal(_KEYS, _WIDTH, scale=0.8),
            energy=normal(_KEYS, scale=1.5),
            gate=normal(_WIDTH),
            gate_bias=normal(1) + 1,
        )
        if attention
        else None,
        lstm=RecurrentLayer(
            input=normal(4 * _WIDTH, below, scale=0.6),
            recurrent=normal(4 * _WIDTH, _WIDTH, scale=0.5),
            input_bias=normal(4 * _WIDTH, scale=0.1),
            recurrent_bias=normal(4 * _WIDTH, scale=0.1),
        ),
        output=normal(_OUTPUT, below + _WIDTH, scale=0.6),
        output_bias=normal(_OUTPUT, scale=0.1),
        scores=normal(symbols, _OUTPUT, scale=0.7),
        scores_bias=scores_bias,
    )


def make_encoder(random: np.random.Generator, *, attention: bool) -> onnx.ModelProto:
    """Quarters of uint8 pictures [batch, 8, 8, 3] to what a caption begins with."""
    graph = GraphBuilder()

    def weight(name: str, *shape: int, scale: float) -> str:
        return graph.weight(name, np.asarray(random.standard_normal(shape) * scale, np.float32))

    half = SIDE // 2
    pixels = graph.op("Cast", "image", to=FLOAT)
    pixels = graph.op("Sub", graph.op("Div", pixels, graph.floats(127.5)), graph.floats(1.0))
    quarters = graph.op("Reshape", pixels, graph.constant([-1, 2, half, 2, half, 3]))
    quarters = graph.op("Transpose", quarters, perm=[0, 1, 3, 2, 4, 5])
    flat = graph.op("Reshape", quarters, graph.constant([-1, PLACES, half * half * 3]))
    looked = graph.op("MatMul", flat, weight("look", half * half * 3, _VALUES, scale=0.3))
    values = graph.op("Tanh", looked)
    mean = graph.op("ReduceMean", values, graph.constant([1]), keepdims=0)
    hidden = graph.op("Tanh", graph.op("MatMul", mean, weight("h", _VALUES, _WIDTH, scale=1.0)))
    cell = graph.op("MatMul", mean, weight("c", _VALUES, _WIDTH, scale=1.0))
    keys = graph.op("MatMul", values, weight("k", _VALUES, _KEYS, scale=1.0))
    outputs: list[tuple[str, str, tuple[int, ...]]] = [
        (HIDDEN, hidden, (_WIDTH,)),
        (CELL, cell, (_WIDTH,)),
    ]
    if attention:
        outputs += [(KEYS, keys, (PLACES, _KEYS)), (VALUES, values, (PLACES, _VALUES))]
    for name, value, _ in outputs:
        graph.rename(value, name)
    built = graph.finish(
        "encoder",
        [Value("image", UINT8, (BATCH, SIDE, SIDE, 3))],
        [Value(name, FLOAT, (BATCH, *shape)) for name, _, shape in outputs],
    )
    built.initializer.extend(graph.initializers())
    return helper.make_model(
        built, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )


def photo(seed: int, side: int = SIDE) -> bytes:
    """A PNG file of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def photo_pixels(seed: int, side: int = SIDE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What the encoder is given of ``photo(seed)``, uint8 [8, 8, 3]."""
    with Image.open(io.BytesIO(photo(seed, side))) as image:
        return np.asarray(image)


def _write_goldens(folder: Path, graphs: GeneratorGraphs, encoder: onnx.ModelProto) -> None:
    encode, decode, prefill = map(predict_with, (encoder, graphs.decode, graphs.prefill))
    pictures: Arrays = {"image": np.stack([photo_pixels(seed) for seed in range(8)])}
    start = {name: np.asarray(array, np.float32) for name, array in encode(pictures).items()}
    for pair in graphs.states:
        if pair.input not in start:
            start[pair.input] = np.zeros((8, len(VOCABULARY)), np.float32)
    inputs = draw_inputs(graph_step(prefill), start, len(VOCABULARY), RULES)
    for file, predict, values in (
        (ENCODER_GOLDEN_FILE, encode, pictures),
        (GOLDEN_FILE, decode, inputs.decode),
        (PREFILL_GOLDEN_FILE, prefill, inputs.prefill),
    ):
        golden = Golden(
            inputs=values,
            outputs=dict(predict(values)),
            atol=TEXT_TOLERANCE,
            rtol=0.0,
            source="onnxruntime",
        )
        save_golden(folder / file, golden)
