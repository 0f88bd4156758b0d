"""Texts written in PyTorch are those that the served graphs write of the same seeds."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from quartet.generation import (
    ALTERNATIVES,
    LENGTH,
    TEMPERATURE,
    TOKEN,
    TOKENS,
    TOP_K,
    TOP_P,
    UNIFORM,
)
from quartet.philox import uniforms
from training.export.engine import onnx_predict
from training.graphs.build import GeneratorGraphs
from training.graphs.reference import neutral_controls
from training.text.config import CellName, TextConfig
from training.text.conversion import weights_of
from training.text.graphs.build import build_graphs
from training.text.model import CharModel, build_model
from training.text.samples import SampleRequest, sample

SYMBOLS = "\n .abcdefghijklmn"
PROMPT = "bad lamb"
REQUEST = SampleRequest(
    temperatures=(0.0, 0.5, 0.8, 1.0), length=48, prompt=PROMPT, top_k=12, top_p=0.9, seed=2**63 + 9
)
STEPS = 16


def make_model(cell: CellName) -> CharModel:
    """Random weights, large enough for the text to depend on what was read."""
    torch.manual_seed(0)
    values = {"cell": cell, "width": 16, "embedding": 8, "layers": 2}
    model = build_model(TextConfig.model_validate({"model": values}), SYMBOLS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5 if cell == "tcn" else 3.0)
    return model


def read_prompt(graphs: GeneratorGraphs, rows: int) -> dict[str, npt.NDArray[Any]]:
    """The states after all of the prompt but its last symbol."""
    states: dict[str, npt.NDArray[Any]] = {}
    for entry in graphs.prefill.graph.input:
        if entry.name not in (TOKENS, LENGTH):
            sizes = [size.dim_value for size in entry.type.tensor_type.shape.dim]
            states[entry.name] = np.zeros((rows, *sizes[1:]), np.float32)
    tokens = [[SYMBOLS.index(character) for character in PROMPT[:-1]]] * rows
    given = {TOKENS: np.array(tokens), LENGTH: np.full(rows, len(PROMPT) - 1), **states}
    after = onnx_predict(graphs.prefill)(given)
    return {pair.input: np.asarray(after[pair.output]) for pair in graphs.states}


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "tcn"])
def test_sample_writes_what_the_decode_graph_writes(cell: CellName) -> None:
    model = make_model(cell)
    graphs = build_graphs(weights_of(model), "float32")
    rows = len(REQUEST.temperatures)
    controls = neutral_controls(rows) | {
        TEMPERATURE: np.array(REQUEST.temperatures, np.float32),
        TOP_K: np.full(rows, REQUEST.top_k),
        TOP_P: np.full(rows, REQUEST.top_p, np.float32),
        ALTERNATIVES: np.zeros(rows, np.int64),
    }
    decode, states = onnx_predict(graphs.decode), read_prompt(graphs, rows)
    token, pieces = np.full(rows, SYMBOLS.index(PROMPT[-1])), []
    for position in range(0, REQUEST.length, STEPS):
        numbers = uniforms(
            np.full(rows, REQUEST.seed, np.uint64),
            np.arange(rows),
            np.full(rows, position),
            STEPS,
        )
        given = decode({TOKEN: token, UNIFORM: numbers, **controls, **states})
        pieces.append(np.asarray(given[TOKENS]))
        states = {pair.input: np.asarray(given[pair.output]) for pair in graphs.states}
        token = pieces[-1][:, -1]
    written = np.concatenate(pieces, axis=1)
    assert len(np.unique(written[-1])) > 4
    # Scores differ in the last bits, far less than these seeds' numbers from any edge.
    assert written.tolist() == sample(model, REQUEST).tolist()
