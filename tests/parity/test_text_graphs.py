"""Both graphs of text generators: against PyTorch, and every row against itself, bit for bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from quartet.generation import (
    ALTERNATIVES,
    FREQUENCY_PENALTY,
    LENGTH,
    LOG_PROBABILITIES,
    MAX_TOP,
    PRESENCE_PENALTY,
    REPETITION_PENALTY,
    TEMPERATURE,
    TOKEN,
    TOKENS,
    TOP_K,
    TOP_LOG_PROBABILITIES,
    TOP_P,
    TOP_TOKENS,
    UNIFORM,
)
from tests.text_models import CellName, predict_with, random_weights, zero_states
from training.export.engine import onnx_predict
from training.export.parity import FLOAT32, Tolerance
from training.export.predict import Arrays, Predict, take_rows
from training.graphs.build import GeneratorGraphs
from training.graphs.goldens import draw_inputs
from training.graphs.products import Precision
from training.graphs.proof import BATCH_SIZES, Pair, check_graphs
from training.graphs.stepping import graph_step
from training.text.config import TextModelConfig
from training.text.conversion import weights_of
from training.text.graphs.build import build_graphs
from training.text.model import CharModel
from training.text.torch_reference import TorchReference

SYMBOLS, ROWS, STEPS, TIME = 41, 64, 16, 12
CELLS: tuple[CellName, ...] = ("rnn", "gru", "lstm", "tcn")
FORMS: list[tuple[CellName, Precision, int]] = [
    ("rnn", "float32", 24),
    ("rnn", "int8", 24),
    ("gru", "float32", 24),
    ("gru", "int8", 24),
    ("lstm", "float32", 24),
    ("lstm", "int8", 24),
    ("tcn", "float32", 24),
    # Odd, and longer than the 256 terms that MLAS sums in one go.
    ("lstm", "float32", 301),
    ("lstm", "int8", 301),
]
Inputs = dict[str, npt.NDArray[Any]]


def char_model(cell: CellName, *, weight_norm: bool = False) -> CharModel:
    torch.set_num_threads(1)
    torch.manual_seed(7)
    config = TextModelConfig(cell=cell, layers=2, width=24, embedding=9, weight_norm=weight_norm)
    model = CharModel(config, [chr(48 + i) for i in range(SYMBOLS)], dropout=0.0).eval()
    with torch.no_grad():  # else every symbol is about as likely as any other
        model.head.weight *= 6
    return model


@pytest.mark.parametrize("cell", CELLS)
def test_graphs_equal_pytorch_and_draw_its_symbols(cell: CellName) -> None:
    model = char_model(cell)
    graphs = build_graphs(weights_of(model), "float32")
    reference = TorchReference(model)
    inputs = draw_inputs(reference.step, reference.zeros(BATCH_SIZES[-1]), SYMBOLS, repetition=True)
    reports = check_graphs(
        Pair(onnx_predict(graphs.decode), onnx_predict(graphs.prefill)),
        Pair(reference.decode, reference.prefill),
        inputs,
        FLOAT32,
        "PyTorch",
    )
    assert "33x16" in reports["model.onnx"].max_abs_difference
    drawn = onnx_predict(graphs.decode)(inputs.decode)[TOKENS]
    np.testing.assert_array_equal(drawn, inputs.tokens)
    assert len(np.unique(inputs.tokens)) > 20


def test_normalised_weights_are_multiplied_out() -> None:
    model = char_model("tcn", weight_norm=True)
    reference = TorchReference(model)
    inputs = draw_inputs(reference.step, reference.zeros(8), SYMBOLS).prefill
    got = onnx_predict(build_graphs(weights_of(model), "float32").prefill)(inputs)
    for name, wanted in reference.prefill(inputs).items():
        assert FLOAT32.excess(got[name], wanted) <= FLOAT32.atol


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_int8_graphs_mean_what_their_operators_say(cell: CellName) -> None:
    model = char_model(cell)
    graphs = build_graphs(weights_of(model), "int8")
    fused, plain = (
        Pair(onnx_predict(graphs.decode, optimize=o), onnx_predict(graphs.prefill, optimize=o))
        for o in (True, False)
    )
    zeros = TorchReference(model).zeros(BATCH_SIZES[-1])
    inputs = draw_inputs(graph_step(plain.prefill), zeros, SYMBOLS)
    # Integer sums are exact; what is left are float functions in one or two operators.
    check_graphs(
        fused.without_ranking(),
        plain.without_ranking(),
        inputs,
        Tolerance(atol=1e-4, rtol=0.0),
        "unfused",
    )


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_int8_scores_are_near_those_of_pytorch(cell: CellName) -> None:
    model = char_model(cell)
    reference = TorchReference(model)
    prefill = onnx_predict(build_graphs(weights_of(model), "int8").prefill)
    inputs = draw_inputs(reference.step, reference.zeros(8), SYMBOLS).prefill
    got, wanted = (
        np.asarray(run(inputs)[LOG_PROBABILITIES], np.float64)
        for run in (prefill, reference.prefill)
    )
    # 7-bit weights: a step of 1/63 of the largest; scores here spread over several nats.
    assert np.abs(got - wanted).max() < 0.2
    assert np.abs(got - wanted).mean() < 0.04


@dataclass
class Subject:
    """A model with the runs that the others are compared with."""

    decode: Predict
    prefill: Predict
    plain: Inputs
    """Decode inputs of ``ROWS`` rows that ask for nothing special."""
    special: Inputs
    """The same with every control in use."""
    reading: Inputs

    def without_padding(self, outputs: Arrays, inputs: Inputs) -> Arrays:
        """Scores past a row's length set to 0."""
        logs = np.array(outputs[LOG_PROBABILITIES])
        logs[np.arange(logs.shape[1]) >= inputs[LENGTH][:, None]] = 0.0
        return {**outputs, LOG_PROBABILITIES: logs}


def make_subject(cell: CellName, precision: Precision, width: int) -> Subject:
    graphs = build_graphs(random_weights(cell, 2, width, SYMBOLS, seed=5), precision)
    random = np.random.default_rng(11)
    states = random_states(graphs, random)
    plain: Inputs = {
        TOKEN: random.integers(0, SYMBOLS, ROWS),
        **states,
        TEMPERATURE: random.choice([0.5, 0.8, 1.0, 1.3], ROWS).astype(np.float32),
        TOP_K: np.zeros(ROWS, np.int64),
        TOP_P: np.ones(ROWS, np.float32),
        REPETITION_PENALTY: np.ones(ROWS, np.float32),
        PRESENCE_PENALTY: np.zeros(ROWS, np.float32),
        FREQUENCY_PENALTY: np.zeros(ROWS, np.float32),
        ALTERNATIVES: np.zeros(ROWS, np.int64),
        UNIFORM: (random.integers(0, 2**23, (ROWS, STEPS)) * 2.0**-23).astype(np.float32),
    }
    special: Inputs = {
        **plain,
        TEMPERATURE: random.choice([0.0, 0.7, 1.0], ROWS).astype(np.float32),
        TOP_K: random.choice([0, 1, 5, 100], ROWS),
        TOP_P: random.choice([1.0, 0.9, 0.4], ROWS).astype(np.float32),
        REPETITION_PENALTY: random.choice([1.0, 1.3, 0.8], ROWS).astype(np.float32),
        PRESENCE_PENALTY: random.choice([0.0, 0.6, -0.3], ROWS).astype(np.float32),
        FREQUENCY_PENALTY: random.choice([0.0, 0.2], ROWS).astype(np.float32),
        ALTERNATIVES: random.choice([0, 3], ROWS),
    }
    reading: Inputs = {
        TOKENS: random.integers(0, SYMBOLS, (ROWS, TIME)),
        LENGTH: random.integers(0, TIME + 1, ROWS),
        **states,
    }
    return Subject(
        predict_with(graphs.decode), predict_with(graphs.prefill), plain, special, reading
    )


def random_states(graphs: GeneratorGraphs, random: np.random.Generator) -> Inputs:
    names = tuple(pair.input for pair in graphs.states)
    states = zero_states(graphs.decode, names, ROWS)
    return {
        name: random.integers(0, 3, zeros.shape).astype(np.float32)
        if name == "counts"
        else random.uniform(-0.9, 0.9, zeros.shape).astype(np.float32)
        for name, zeros in states.items()
    }


@pytest.fixture(scope="module", params=FORMS, ids=lambda form: "-".join(map(str, form)))
def subject(request: pytest.FixtureRequest) -> Subject:
    return make_subject(*request.param)


def assert_same_bits(got: Arrays, wanted: Arrays) -> None:
    assert got.keys() == wanted.keys()
    for name in wanted:
        assert got[name].tobytes() == wanted[name].tobytes(), name


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 31, 32, 33, 63, 64])
def test_decode_of_a_row_has_the_same_bits_in_any_batch(subject: Subject, rows: int) -> None:
    for inputs in (subject.plain, subject.special):
        chosen = np.random.default_rng(rows).permutation(ROWS)[:rows]
        got = subject.decode(take_rows(inputs, chosen))
        assert_same_bits(got, take_rows(subject.decode(inputs), chosen))


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 17, 33])
def test_prefill_of_a_row_has_the_same_bits_in_any_batch(subject: Subject, rows: int) -> None:
    chosen = np.random.default_rng(rows).permutation(ROWS)[:rows]
    inputs = take_rows(subject.reading, chosen)
    got = subject.without_padding(subject.prefill(inputs), dict(inputs))
    whole = subject.without_padding(subject.prefill(subject.reading), subject.reading)
    assert_same_bits(got, take_rows(whole, chosen))


def test_decode_of_a_plain_row_has_the_same_bits_beside_special_ones(subject: Subject) -> None:
    even = np.arange(ROWS) % 2 == 0
    mixed = {
        name: np.where(even.reshape(-1, *[1] * (v.ndim - 1)), v, subject.special[name])
        for name, v in subject.plain.items()
    }
    rows = np.flatnonzero(even)
    got = take_rows(subject.decode(mixed), rows)
    assert_same_bits(got, take_rows(subject.decode(subject.plain), rows))


@pytest.mark.parametrize("cut", [(5, 11), (1,) * STEPS, (8, 1, 7)], ids=str)
def test_decode_has_the_same_bits_however_its_steps_are_divided(
    subject: Subject, cut: Sequence[int]
) -> None:
    for inputs in (subject.plain, subject.special):
        now, parts, start = dict(inputs), [], 0
        for steps in cut:
            now[UNIFORM] = np.ascontiguousarray(inputs[UNIFORM][:, start : start + steps])
            parts.append(subject.decode(now))
            now[TOKEN] = np.ascontiguousarray(parts[-1][TOKENS][:, -1])
            now.update(states_of(parts[-1]))
            start += steps
        joined = {
            name: last
            if name.startswith("next_")
            else np.concatenate([part[name] for part in parts], axis=1)
            for name, last in parts[-1].items()
        }
        assert_same_bits(joined, subject.decode(inputs))


@pytest.mark.parametrize("cut", [(5, 7), (1,) * TIME, (4, 4, 4)], ids=str)
def test_prefill_has_the_same_bits_however_the_prompt_is_divided(
    subject: Subject, cut: Sequence[int]
) -> None:
    now, logs, start = dict(subject.reading), [], 0
    for count in cut:
        now[TOKENS] = np.ascontiguousarray(subject.reading[TOKENS][:, start : start + count])
        now[LENGTH] = np.clip(subject.reading[LENGTH] - start, 0, count)
        outputs = subject.prefill(now)
        logs.append(outputs[LOG_PROBABILITIES])
        now.update(states_of(outputs))
        start += count
    got = subject.without_padding(
        {**outputs, LOG_PROBABILITIES: np.concatenate(logs, axis=1)}, subject.reading
    )
    assert_same_bits(
        got, subject.without_padding(subject.prefill(subject.reading), subject.reading)
    )


def test_prefill_and_decode_leave_the_same_bits_after_the_same_symbols(subject: Subject) -> None:
    decoded = subject.decode(subject.special)
    tokens = np.concatenate(
        [subject.special[TOKEN][:, None], decoded[TOKENS][:, :-1]], axis=1
    ).astype(np.int64)
    states = {name: subject.special[name] for name in states_of(decoded)}
    read = subject.prefill({TOKENS: tokens, LENGTH: np.full(ROWS, STEPS), **states})
    assert_same_bits(states_of(read), states_of(decoded))
    drawn = np.asarray(decoded[TOKENS], np.int64)
    logs = np.take_along_axis(read[LOG_PROBABILITIES], drawn[..., None], 2)[..., 0]
    assert logs.tobytes() == decoded[LOG_PROBABILITIES].tobytes()


def test_alternatives_are_the_likeliest_symbols_of_rows_that_want_them(subject: Subject) -> None:
    decoded = subject.decode(subject.special)
    tokens = np.concatenate([subject.special[TOKEN][:, None], decoded[TOKENS][:, :-1]], axis=1)
    states = {name: subject.special[name] for name in states_of(decoded)}
    read = subject.prefill({TOKENS: tokens, LENGTH: np.full(ROWS, STEPS), **states})
    logs = np.asarray(read[LOG_PROBABILITIES], np.float32)
    best = np.argsort(-logs, axis=2, kind="stable")[..., :MAX_TOP]
    wanted = (subject.special[ALTERNATIVES] > 0)[:, None, None]
    np.testing.assert_array_equal(decoded[TOP_TOKENS], np.where(wanted, best, 0))
    np.testing.assert_array_equal(
        decoded[TOP_LOG_PROBABILITIES],
        np.where(wanted, np.take_along_axis(logs, best, 2), np.float32(0)),
    )


def test_texts_depend_on_state_and_number(subject: Subject) -> None:
    tokens = subject.decode(subject.plain)[TOKENS]
    other = {**subject.plain, UNIFORM: np.ascontiguousarray(subject.plain[UNIFORM][::-1])}
    assert len({row.tobytes() for row in tokens}) == ROWS
    assert (subject.decode(other)[TOKENS] != tokens).mean() > 0.5


def states_of(outputs: Arrays) -> Inputs:
    """The states as inputs of the next run."""
    return {k.removeprefix("next_"): v for k, v in outputs.items() if k.startswith("next_")}
