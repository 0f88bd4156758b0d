"""Inputs drawn for golden files."""

from typing import Any

import numpy as np
import pytest

from quartet.generation import LENGTH, TEMPERATURE, TOKENS, UNIFORM
from tests.text_models import predict_with, random_weights, zero_states
from training.export.errors import ExportError
from training.export.predict import Arrays, Predict
from training.graphs.build import GeneratorGraphs
from training.graphs.goldens import DISTURBANCE, ROWS, STEPS, TIME, draw_inputs
from training.graphs.stepping import graph_step
from training.text.graphs.build import build_graphs

SYMBOLS = 30


@pytest.fixture(scope="module")
def graphs() -> GeneratorGraphs:
    return build_graphs(random_weights("gru", 1, 16, SYMBOLS, seed=2), "float32")


def zeros(graphs: GeneratorGraphs) -> dict[str, Any]:
    return zero_states(graphs.prefill, tuple(pair.input for pair in graphs.states), ROWS)


def test_decode_draws_the_symbols_that_were_meant(graphs: GeneratorGraphs) -> None:
    inputs = draw_inputs(graph_step(predict_with(graphs.prefill)), zeros(graphs), SYMBOLS)
    assert inputs.prefill[TOKENS].shape == (ROWS, TIME)
    assert {0, TIME} <= set(inputs.prefill[LENGTH].tolist())
    assert inputs.decode[UNIFORM].shape == (ROWS, STEPS)
    tokens = predict_with(graphs.decode)(inputs.decode)[TOKENS]
    np.testing.assert_array_equal(tokens, inputs.tokens)


def test_decode_starts_where_prefill_ends(graphs: GeneratorGraphs) -> None:
    prefill = predict_with(graphs.prefill)
    inputs = draw_inputs(graph_step(prefill), zeros(graphs), SYMBOLS)
    outputs = prefill(inputs.prefill)
    for pair in graphs.states:
        np.testing.assert_array_equal(outputs[pair.output], inputs.decode[pair.input])


def test_symbols_stay_when_all_scores_are_disturbed(graphs: GeneratorGraphs) -> None:
    inputs = draw_inputs(graph_step(predict_with(graphs.prefill)), zeros(graphs), SYMBOLS)
    weights = random_weights("gru", 1, 16, SYMBOLS, seed=2)
    # Half of what was tried on each symbol: the state moves too.
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, SYMBOLS).astype(np.float32) * DISTURBANCE
    noisy = build_graphs(
        type(weights)(**{**vars(weights), "head_bias": weights.head_bias + noise}), "float32"
    )
    tokens = predict_with(noisy.decode)(inputs.decode)[TOKENS]
    np.testing.assert_array_equal(tokens, inputs.tokens)


def test_the_same_inputs_are_drawn_again(graphs: GeneratorGraphs) -> None:
    step = graph_step(predict_with(graphs.prefill))
    first, second = (draw_inputs(step, zeros(graphs), SYMBOLS) for _ in range(2))
    for name, values in first.decode.items():
        np.testing.assert_array_equal(values, second.decode[name])


def with_scores(predict: Predict, value: float) -> Predict:
    """A graph all of whose scores are ``value``."""

    def run(inputs: Arrays) -> Arrays:
        outputs = dict(predict(inputs))
        shape = outputs["log_probabilities"].shape
        outputs["log_probabilities"] = np.full(shape, value, np.float32)
        return outputs

    return run


def test_rows_that_always_meet_a_tie_give_up_their_controls(graphs: GeneratorGraphs) -> None:
    step = graph_step(with_scores(predict_with(graphs.prefill), 0.0))
    inputs = draw_inputs(step, zeros(graphs), SYMBOLS)
    assert (inputs.decode[TEMPERATURE] > 0).all()


def test_scores_that_are_not_finite_are_refused(graphs: GeneratorGraphs) -> None:
    step = graph_step(with_scores(predict_with(graphs.prefill), np.nan))
    with pytest.raises(ExportError, match="not finite"):
        draw_inputs(step, zeros(graphs), SYMBOLS)
