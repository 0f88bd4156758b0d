"""Generators with random weights, as the exporter writes them: small, quick, and never dull.

The weights are scaled so that the network's choice depends on what it read and no symbol drowns
the others: texts vary, and a wrong state or a wrong random number shows within a few symbols.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort

from quartet.artifact import (
    GOLDEN_FILE,
    METADATA_KEY,
    MODEL_FILE,
    PREFILL_FILE,
    PREFILL_GOLDEN_FILE,
    Golden,
    dump_task,
    save_golden,
)
from quartet.generation import TextGenerationTask
from training.export.files import write_graphs
from training.export.predict import Arrays, Predict
from training.graphs.build import GeneratorGraphs
from training.graphs.goldens import ROWS, draw_inputs
from training.graphs.products import Precision
from training.graphs.stepping import graph_step
from training.graphs.weights import GATES, Floats, RecurrentLayer
from training.text.graphs.build import build_graphs
from training.text.graphs.weights import (
    CausalConvolution,
    ConvolutionalWeights,
    RecurrentWeights,
    ResidualBlock,
    Weights,
)

CellName = Literal["rnn", "gru", "lstm", "tcn"]
VOCABULARY = tuple("\n !',-.:;?") + tuple("ABCDEFGHIJKLMabcdefghijklmnopqrstuvwxyz")
"""Without the capitals from N on and without digits, so there are characters it lacks."""
TEXT_TOLERANCE = 1e-2
"""Of goldens: far above what arithmetic may differ by, far below a wrong symbol's 1."""


def make_text_model(
    folder: Path,
    *,
    cell: CellName = "lstm",
    layers: int = 2,
    width: int = 16,
    vocabulary: tuple[str, ...] = VOCABULARY,
    precision: Precision = "float32",
    seed: int = 0,
    version: int = 1,
    goldens: bool = True,
    **declaration: Any,
) -> Path:
    """Write ``<folder>/<version>/{model.onnx,prefill.onnx,weights.bin}`` and the golden files.

    Args:
        folder: the model's folder in a repository; made if need be. Its name is the model's.
        cell: kind of network.
        layers: recurrent layers, or residual blocks.
        width: units a layer.
        vocabulary: text of each symbol.
        precision: of the products; tcn has float32 alone.
        seed: of the weights.
        version: number of the version's folder.
        goldens: also write ``golden.npz`` and ``prefill.golden.npz``.
        declaration: fields of ``TextGenerationTask`` other than those that follow from the rest.

    Returns:
        ``<folder>/<version>``.
    """
    weights = random_weights(cell, layers, width, len(vocabulary), seed)
    graphs = build_graphs(weights, precision)
    task = text_task(graphs, vocabulary, precision, **declaration)
    onnx.helper.set_model_props(graphs.decode, {METADATA_KEY: dump_task(task)})
    target = folder / str(version)
    target.mkdir(parents=True)
    write_graphs(target, {MODEL_FILE: graphs.decode, PREFILL_FILE: graphs.prefill})
    if goldens:
        _write_goldens(target, graphs, len(vocabulary))
    return target


def text_task(
    graphs: GeneratorGraphs,
    vocabulary: tuple[str, ...],
    precision: Precision,
    **declaration: Any,
) -> TextGenerationTask:
    """What the model says of itself; ``declaration`` overrides."""
    fields: dict[str, Any] = {
        "vocabulary": vocabulary,
        "states": graphs.states,
        "begin": "\n" if "\n" in vocabulary else vocabulary[0],
        "precision": precision,
        **declaration,
    }
    return TextGenerationTask.model_validate(fields)


def random_weights(
    cell: CellName, layers: int, width: int, symbols: int, seed: int, embedding: int = 8
) -> Weights:
    """Weights drawn from ``seed``."""
    random = np.random.default_rng(seed)

    def normal(*shape: int, fan_in: int) -> Floats:
        values = random.standard_normal(shape) * (1.5 / np.sqrt(fan_in))
        return np.asarray(values, np.float32)

    def convolution(inputs: int, taps: int, dilation: int) -> CausalConvolution:
        return CausalConvolution(
            weight=normal(width, inputs, taps, fan_in=inputs * taps),
            bias=normal(width, fan_in=100),
            dilation=dilation,
        )

    ends = {
        "embedding": normal(symbols, embedding, fan_in=1),
        # What relu leaves grows from block to block; states of cells stay in (-1, 1).
        "head": (0.7 if cell == "tcn" else 2.0) * normal(symbols, width, fan_in=width),
        "head_bias": normal(symbols, fan_in=10),
    }
    sizes = [embedding if index == 0 else width for index in range(layers)]
    if cell == "tcn":
        return ConvolutionalWeights(
            **ends,
            blocks=tuple(
                ResidualBlock(
                    first=convolution(inputs, 3, 2**index),
                    second=convolution(width, 3, 2**index),
                    shortcut=None if inputs == width else convolution(inputs, 1, 1),
                )
                for index, inputs in enumerate(sizes)
            ),
        )
    rows = GATES[cell] * width
    stack = tuple(
        RecurrentLayer(
            input=normal(rows, inputs, fan_in=inputs),
            recurrent=normal(rows, width, fan_in=width),
            input_bias=normal(rows, fan_in=100),
            recurrent_bias=normal(rows, fan_in=100),
        )
        for inputs in sizes
    )
    return RecurrentWeights(**ends, cell=cell, layers=stack)


def predict_with(model: onnx.ModelProto) -> Predict:
    """``model`` on the CPU with the options that the server uses."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def predict(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return predict


def zero_states(model: onnx.ModelProto, states: tuple[str, ...], rows: int) -> dict[str, Floats]:
    """Input name -> zeros [rows, ...]."""
    inputs = {value.name: value for value in model.graph.input}
    return {
        name: np.zeros(
            (rows, *(d.dim_value for d in inputs[name].type.tensor_type.shape.dim[1:])), np.float32
        )
        for name in states
    }


def _write_goldens(folder: Path, graphs: GeneratorGraphs, symbols: int) -> None:
    decode, prefill = predict_with(graphs.decode), predict_with(graphs.prefill)
    names = tuple(pair.input for pair in graphs.states)
    zeros = zero_states(graphs.prefill, names, ROWS)
    inputs = draw_inputs(graph_step(prefill), zeros, symbols)
    for file, predict, values in (
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
