"""Drawing inside the graph against its definition in NumPy, on scores that the test chooses."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from quartet.generation import (
    ALTERNATIVES,
    FREQUENCY_PENALTY,
    LOG_PROBABILITIES,
    MINIMUM,
    PRESENCE_PENALTY,
    REPETITION_PENALTY,
    TEMPERATURE,
    TOKEN,
    TOKENS,
    TOP_K,
    TOP_P,
    UNIFORM,
)
from tests.text_models import predict_with
from training.export.format import IR_VERSION, OPSET, check
from training.export.predict import Predict
from training.graphs.builder import GraphBuilder
from training.graphs.decode import build_decode
from training.graphs.network import Carried, ConstantSpec, Head, Read, Reading, StateSpec, Step
from training.graphs.products import Float32
from training.graphs.reference import allow, drawing_weights, neutral_controls
from training.graphs.rules import ALL_DRAWN, SymbolRules
from training.graphs.sampling import WIDE
from training.graphs.weights import Floats

SYMBOLS, CASES = 9, 32


class Table:
    """Network without a state: symbol i has row i of a table as its scores."""

    states: tuple[StateSpec, ...] = ()
    constants: tuple[ConstantSpec, ...] = ()
    places = 0

    def __init__(self, scores: Floats) -> None:
        self.scores = scores

    def begin(self, graph: GraphBuilder, states: Mapping[str, str]) -> list[Carried]:
        return []

    def step(self, graph: GraphBuilder, token: str, carried: Sequence[str]) -> Step:
        return Step(graph.op("Gather", graph.weight("table", self.scores), token), [])

    def end(self, graph: GraphBuilder, carried: Sequence[str]) -> dict[str, str]:
        return {}

    def read(self, graph: GraphBuilder, reading: Reading, states: Mapping[str, str]) -> Read:
        raise AssertionError("not read here")


def drawing_graph(scores: Floats, rules: SymbolRules = ALL_DRAWN) -> Predict:
    """The decode graph of ``Table``; the head passes the scores on."""
    symbols = scores.shape[1]
    eye, zeros = np.eye(symbols, dtype=np.float32), np.zeros(symbols, np.float32)
    head = Head(eye, zeros, Float32(), rules)
    builder = GraphBuilder()
    graph = build_decode(builder, Table(scores), head)
    graph.initializer.extend(builder.initializers())
    model = helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )
    check(model)
    return predict_with(model)


SCORES = np.random.default_rng(4).normal(0, 2, (SYMBOLS, SYMBOLS)).astype(np.float32)
SCORES[3] = np.array([1, 1, 1, 0.5, 0.5, 0, 0, 0, -3], np.float32)  # ties
SCORES[4] = 0.0
SCORES[5] = np.array([90, -90, 89, 0, 0, 0, 0, 0, 0], np.float32)


@pytest.fixture(scope="module")
def decode() -> Predict:
    return drawing_graph(SCORES)


def feed(
    tokens: npt.NDArray[np.int64], uniform: npt.NDArray[Any], **changes: Any
) -> dict[str, Any]:
    rows = len(tokens)
    return {
        TOKEN: tokens,
        "counts": np.zeros((rows, SYMBOLS), np.float32),
        ALTERNATIVES: np.zeros(rows, np.int64),
        UNIFORM: np.asarray(uniform, np.float32).reshape(rows, -1),
        **neutral_controls(rows),
        **changes,
    }


def draw(decode: Predict, token: int, uniforms: Sequence[float], **changes: Any) -> list[int]:
    """The symbols that each number draws after ``token``, all under the same controls."""
    rows = len(uniforms)
    kinds = {name: values.dtype for name, values in neutral_controls(1).items()}
    kinds[MINIMUM] = np.dtype(np.int64)
    controls = {name: np.full(rows, value, kinds[name]) for name, value in changes.items()}
    inputs = feed(np.full(rows, token, np.int64), np.array(uniforms), **controls)
    return [int(symbol) for symbol in np.asarray(decode(inputs)[TOKENS], np.int64)[:, 0]]


GRID = [(i + 0.5) / 1000 for i in range(1000)]


def shares(decode: Predict, token: int, **changes: Any) -> npt.NDArray[np.float64]:
    """Share of the numbers of a grid that fall to each symbol."""
    return np.bincount(draw(decode, token, GRID, **changes), minlength=SYMBOLS) / len(GRID)


def softmax(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    p = np.exp(np.asarray(scores, np.float64) - scores.max())
    return np.asarray(p / p.sum(), np.float64)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_symbols_get_the_shares_of_softmax_at_the_temperature(
    decode: Predict, temperature: float
) -> None:
    for token in range(SYMBOLS):
        got = shares(decode, token, temperature=temperature)
        # A border of two shares misplaces less than one of the grid's numbers.
        np.testing.assert_allclose(got, softmax(SCORES[token] / temperature), atol=1.01e-3)


def test_temperature_zero_takes_the_first_of_the_largest_scores(decode: Predict) -> None:
    for token in range(SYMBOLS):
        assert set(draw(decode, token, [0.0, 0.5, 0.999], temperature=0)) == {
            int(SCORES[token].argmax())
        }


def test_a_tiny_temperature_gives_numbers(decode: Predict) -> None:
    assert draw(decode, 5, [0.0, 0.999], temperature=1e-38) == [0, 0]


def test_top_k_keeps_the_likeliest_and_their_proportions(decode: Predict) -> None:
    p = softmax(SCORES[0])
    kept = np.argsort(-p)[:3]
    wanted = np.where(np.isin(np.arange(SYMBOLS), kept), p, 0)
    got = shares(decode, 0, top_k=3)
    np.testing.assert_allclose(got, wanted / wanted.sum(), atol=1.01e-3)


def test_top_k_keeps_ties_and_ignores_what_exceeds_the_vocabulary(decode: Predict) -> None:
    assert set(draw(decode, 3, GRID, top_k=1)) == {0, 1, 2}
    assert set(draw(decode, 3, GRID, top_k=4)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(shares(decode, 0, top_k=50), shares(decode, 0))


def test_top_p_keeps_the_fewest_that_reach_the_sum(decode: Predict) -> None:
    order = np.argsort(-softmax(SCORES[0]))
    sums = np.cumsum(softmax(SCORES[0])[order])
    for count in (1, 2, 4):
        below, above = sums[count - 1] - 1e-4, sums[count - 1] + 1e-4
        numbers = np.linspace(0, 0.99999, 2000)
        assert set(draw(decode, 0, list(numbers), top_p=below)) <= set(order[:count].tolist())
        assert int(order[count]) in draw(decode, 0, list(numbers), top_p=above)


def test_top_p_of_one_keeps_what_has_next_to_no_probability(decode: Predict) -> None:
    np.testing.assert_array_equal(shares(decode, 5, top_p=1.0), shares(decode, 5))
    assert draw(decode, 8, [1 - 2**-23], top_p=1.0) == draw(decode, 8, [1 - 2**-23])


def test_the_largest_number_never_runs_past_the_end(decode: Predict) -> None:
    for token in range(SYMBOLS):
        allowed = np.flatnonzero(softmax(SCORES[token]) > 0)
        assert draw(decode, token, [1 - 2**-23])[0] in allowed
        last = draw(decode, token, [1 - 2**-23], top_k=2)[0]
        assert SCORES[token, last] >= np.sort(SCORES[token])[-2]


def test_penalties_work_on_symbols_seen_in_the_state_and_in_this_run(decode: Predict) -> None:
    counts = np.zeros((1, SYMBOLS), np.float32)
    counts[0, 2] = 3.0
    inputs = feed(
        np.array([0]),
        np.array([[0.5]]),
        counts=counts,
        temperature=np.array([0], np.float32),
        presence_penalty=np.array([0.25], np.float32),
        frequency_penalty=np.array([100.0], np.float32),
    )
    # 2 was seen three times, 0 is being read: neither can win.
    open_scores = SCORES[0].copy()
    open_scores[[0, 2]] = -np.inf
    assert decode(inputs)[TOKENS][0, 0] == open_scores.argmax()


def test_frequency_penalty_ends_a_loop_of_greedy_steps(decode: Predict) -> None:
    def texts(penalty: float) -> npt.NDArray[Any]:
        inputs = feed(
            np.array([1]),
            np.zeros((1, 60)),
            temperature=np.array([0], np.float32),
            frequency_penalty=np.array([penalty], np.float32),
        )
        tokens: npt.NDArray[Any] = np.asarray(decode(inputs)[TOKENS])[0]
        return tokens

    assert len(np.unique(texts(0.0)[-20:])) < SYMBOLS
    assert len(np.unique(texts(2.0)[-20:])) == SYMBOLS


def test_counts_are_those_of_the_symbols_read(decode: Predict) -> None:
    for penalty in (0.0, 0.5):  # with and without counting along
        inputs = feed(
            np.array([1, 7]),
            np.random.default_rng(0).random((2, 12)),
            presence_penalty=np.full(2, penalty, np.float32),
        )
        outputs = decode(inputs)
        read = np.concatenate([inputs[TOKEN][:, None], outputs[TOKENS][:, :-1]], axis=1)
        wanted = np.stack([np.bincount(row, minlength=SYMBOLS) for row in read])
        np.testing.assert_array_equal(outputs["next_counts"], wanted)


Rows = st.fixed_dictionaries(
    {
        TOKEN: st.integers(0, SYMBOLS - 1),
        UNIFORM: st.integers(0, 2**23 - 1),
        TEMPERATURE: st.sampled_from([0.0, 0.25, 1.0, 3.0]),
        TOP_K: st.integers(0, SYMBOLS + 2),
        TOP_P: st.sampled_from([0.05, 0.5, 0.83, 1.0]),
        REPETITION_PENALTY: st.sampled_from([0.5, 1.0, 1.7]),
        PRESENCE_PENALTY: st.sampled_from([-1.0, 0.0, 0.6]),
        FREQUENCY_PENALTY: st.sampled_from([-0.2, 0.0, 0.3]),
        "counts": st.lists(st.integers(0, 3), min_size=SYMBOLS, max_size=SYMBOLS),
    }
)


@given(st.lists(Rows, min_size=1, max_size=8))
def test_any_row_draws_what_the_definition_says(rows: list[dict[str, Any]]) -> None:
    decode = drawing_graph_once()
    tokens = np.array([row[TOKEN] for row in rows])
    controls = {
        name: np.array([row[name] for row in rows], values.dtype)
        for name, values in neutral_controls(1).items()
    }
    counts = np.array([row["counts"] for row in rows], np.float32)
    uniform = np.array([row[UNIFORM] for row in rows]) * 2.0**-23
    drawn = np.asarray(decode(feed(tokens, uniform, counts=counts, **controls))[TOKENS])[:, 0]
    counts[np.arange(len(rows)), tokens] += 1
    weights = drawing_weights(SCORES[tokens], counts, controls)
    sums = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    for row, symbol in enumerate(drawn):
        assert weights[row, symbol] > 0
        # Softmax here and there may differ in the last bits.
        assert sums[row, symbol] > uniform[row] - 1e-5
        assert symbol == 0 or sums[row, symbol - 1] < uniform[row] + 1e-5


@cache
def drawing_graph_once() -> Predict:
    """One session for all of Hypothesis' examples, which fixtures of a function cannot give."""
    return drawing_graph(SCORES)


def test_decode_graph_has_the_inputs_and_outputs_of_the_contract() -> None:
    builder = GraphBuilder()
    head = Head(np.eye(40, dtype=np.float32), np.zeros(40, np.float32), Float32())
    graph = build_decode(builder, Table(np.zeros((40, 40), np.float32)), head)

    def described(values: Sequence[onnx.ValueInfoProto]) -> dict[str, tuple[int, list[Any]]]:
        return {
            v.name: (
                v.type.tensor_type.elem_type,
                [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim],
            )
            for v in values
        }

    real, whole = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    assert described(graph.input) == {
        "token": (whole, ["batch"]),
        "counts": (real, ["batch", 40]),
        "temperature": (real, ["batch"]),
        "top_k": (whole, ["batch"]),
        "top_p": (real, ["batch"]),
        "repetition_penalty": (real, ["batch"]),
        "presence_penalty": (real, ["batch"]),
        "frequency_penalty": (real, ["batch"]),
        "alternatives": (whole, ["batch"]),
        "uniform": (real, ["batch", "steps"]),
    }
    assert described(graph.output) == {
        "tokens": (whole, ["batch", "steps"]),
        "log_probabilities": (real, ["batch", "steps"]),
        "top_tokens": (whole, ["batch", "steps", 20]),
        "top_log_probabilities": (real, ["batch", "steps", 20]),
        "next_counts": (real, ["batch", 40]),
    }


RULES = SymbolRules(hidden=(0, 5), stop=(2,))


@pytest.fixture(scope="module")
def ruled() -> Predict:
    return drawing_graph(SCORES, RULES)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 1e6])
def test_hidden_symbols_are_never_drawn(ruled: Predict, temperature: float) -> None:
    least, most = 0.0, 1 - 2**-23
    for token in range(SYMBOLS):
        numbers = [least, *GRID[::10], most]
        drawn = set(draw(ruled, token, numbers, temperature=temperature, **nobody_waits()))
        assert not drawn & {0, 5}


def nobody_waits() -> dict[str, int]:
    return {"minimum": 0}


def test_the_others_keep_their_proportions_beside_hidden_ones(ruled: Predict) -> None:
    p = softmax(SCORES[1])
    p[[0, 5]] = 0
    got = shares(ruled, 1, **nobody_waits())
    np.testing.assert_allclose(got, p / p.sum(), atol=1.01e-3)


def test_top_k_counts_only_symbols_that_may_be_drawn(ruled: Predict) -> None:
    allowed = SCORES[0].copy()
    allowed[[0, 2, 5]] = -np.inf
    best = set(np.argsort(-allowed)[:2].tolist())
    assert set(draw(ruled, 0, GRID, top_k=2, minimum=1)) == best
    assert set(draw(ruled, 0, [0.0, 0.999], temperature=0, minimum=1)) == {int(allowed.argmax())}


def test_stop_symbols_wait_for_the_steps_of_each_row(ruled: Predict) -> None:
    minimum = np.arange(400) % 14
    uniform = np.random.default_rng(3).random((400, 12))
    tokens = np.asarray(ruled(feed(np.ones(400, np.int64), uniform, minimum=minimum))[TOKENS])
    early = np.arange(12) < minimum[:, None]
    assert not (tokens[early] == 2).any()
    assert (tokens[~early] == 2).mean() > 0.01


def test_a_stop_symbol_is_drawn_as_soon_as_it_may() -> None:
    always = np.zeros((SYMBOLS, SYMBOLS), np.float32)
    always[:, 2] = 50.0
    predict = drawing_graph(always, RULES)
    inputs = feed(np.ones(3, np.int64), np.full((3, 6), 0.5), minimum=np.array([0, 2, 5]))
    stops = np.asarray(predict(inputs)[TOKENS]) == 2
    assert stops.argmax(axis=1).tolist() == [0, 2, 5]


def test_log_probabilities_are_those_of_all_symbols(ruled: Predict) -> None:
    outputs = ruled(feed(np.array([1]), np.array([[0.4]]), minimum=np.array([1])))
    drawn = int(np.asarray(outputs[TOKENS])[0, 0])
    expected = np.log(softmax(SCORES[1])[drawn])
    assert np.asarray(outputs[LOG_PROBABILITIES])[0, 0] == pytest.approx(expected, abs=1e-5)


@given(st.lists(Rows, min_size=1, max_size=8), st.lists(st.integers(0, 1), min_size=8, max_size=8))
def test_any_row_draws_what_the_definition_says_of_rules(
    rows: list[dict[str, Any]], waits: list[int]
) -> None:
    predict = ruled_graph_once()
    tokens = np.array([row[TOKEN] for row in rows])
    controls = {
        name: np.array([row[name] for row in rows], values.dtype)
        for name, values in neutral_controls(1).items()
    }
    controls[MINIMUM] = np.array(waits[: len(rows)], np.int64)
    counts = np.array([row["counts"] for row in rows], np.float32)
    uniform = np.array([row[UNIFORM] for row in rows]) * 2.0**-23
    drawn = np.asarray(predict(feed(tokens, uniform, counts=counts, **controls))[TOKENS])[:, 0]
    counts[np.arange(len(rows)), tokens] += 1
    allowed = allow(SCORES[tokens], RULES, controls, 0)
    weights = drawing_weights(allowed, counts, controls)
    assert (weights[np.arange(len(rows)), drawn] > 0).all()


@cache
def ruled_graph_once() -> Predict:
    """See ``drawing_graph_once``."""
    return drawing_graph(SCORES, RULES)


def test_greedy_rows_of_many_symbols_draw_the_best_beside_any_others() -> None:
    symbols = WIDE + 7
    scores = np.random.default_rng(6).normal(0, 2, (symbols, symbols)).astype(np.float32)
    scores[:, [40, 90]] = 9.0  # a tie: the first of them
    predict = drawing_graph(scores)
    rows = 6
    controls = neutral_controls(rows)
    controls[TEMPERATURE][:3] = 0.0
    controls[TOP_K][3] = 2
    controls[REPETITION_PENALTY][4] = 1.5
    inputs = feed(np.arange(rows), np.full((rows, 1), 0.999), **controls)
    inputs["counts"] = np.zeros((rows, symbols), np.float32)
    tokens = np.asarray(predict(inputs)[TOKENS])[:, 0]
    assert tokens[:4].tolist() == [40, 40, 40, 90]
    alone = {name: values[:3] for name, values in inputs.items()}
    assert np.asarray(predict(alone)[TOKENS])[:, 0].tolist() == [40, 40, 40]
    plain = {name: values[5:] for name, values in inputs.items()}
    assert np.asarray(predict(plain)[TOKENS])[0, 0] == tokens[5]
