"""The cases that the benchmark of the decode graph sets against each other."""

import numpy as np

from benchmarks.generation.graphs import (
    OUTSIDE,
    PLAIN,
    PRECISIONS,
    SCORES,
    lstm,
    measure,
    step_graph,
)
from training.export.engine import onnx_predict
from training.text.graphs.build import build_graphs

ROWS, SYMBOLS, WIDTH = 3, 11, 8


def test_stepping_from_outside_computes_what_the_graph_computes() -> None:
    weights = lstm(2, WIDTH, SYMBOLS)
    states = {name: np.zeros((ROWS, 2, WIDTH), np.float32) for name in ("hidden", "cell")}
    token = np.arange(ROWS)
    for precision in PRECISIONS:
        outside = onnx_predict(step_graph(weights, precision))({"token": token, **states})
        inside = onnx_predict(build_graphs(weights, precision).prefill)(
            {
                "tokens": token[:, None],
                "length": np.ones(ROWS, np.int64),
                "counts": np.zeros((ROWS, SYMBOLS), np.float32),
                **states,
            }
        )
        np.testing.assert_array_equal(outside["next_cell"], inside["next_cell"])
        scores = np.asarray(outside[SCORES], np.float64)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        # float32 against float64.
        got = np.asarray(inside["log_probabilities"], np.float64)[:, 0]
        np.testing.assert_allclose(got, logs, atol=1e-5)


def test_measure_gives_every_case_beside_the_plain_one() -> None:
    found = measure(lstm(1, WIDTH, SYMBOLS), "int8", ROWS, rounds=2)
    cases = [row.case for row in found]
    assert (cases[0], cases[-1]) == (PLAIN, OUTSIDE)
    assert next(row.ratio for row in found if row.case == PLAIN) == 1.0
