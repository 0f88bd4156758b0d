"""``python -m benchmarks.generation.graphs``: microseconds a step of the decode graph, one thread.

Set against it is the same network stepped from outside: ``session.run`` for each step, scores
copied out, drawn in NumPy. The clock is the thread's CPU time, in which a one-thread session does
all its work; rounds go through all cases in turn, and a ratio is the median of those of single
rounds, so that what disturbs the machine disturbs both sides.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import onnx
from onnx import helper

from quartet.generation import ALTERNATIVES, REPETITION_PENALTY, TOKEN, TOP_P, UNIFORM
from training.export.engine import onnx_predict
from training.export.format import IR_VERSION, OPSET
from training.export.predict import Arrays, Predict
from training.graphs.build import GeneratorGraphs
from training.graphs.builder import FLOAT, INT64, GraphBuilder, Value
from training.graphs.network import BATCH, Head
from training.graphs.products import Precision, make_arithmetic
from training.graphs.reference import neutral_controls
from training.graphs.weights import GATES, Floats, RecurrentLayer
from training.text.graphs.build import build_graphs
from training.text.graphs.recurrent import RecurrentNetwork
from training.text.graphs.weights import RecurrentWeights

STEPS = 16
SCORES = "scores"
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
PLAIN, TOP_P_CASE, ALTERNATIVES_CASE, PENALTIES_CASE, OUTSIDE = (
    "plain",
    "top_p 0.9",
    "alternatives",
    "penalties",
    "stepped from outside",
)


@dataclass(frozen=True)
class Row:
    """One case at one batch size."""

    precision: Precision
    rows: int
    case: str
    us_per_step: float
    ratio: float
    """To the plain case of the same precision and size."""


def main(argv: Sequence[str]) -> int:
    """Measure and print; the exit status."""
    args = build_parser().parse_args(argv)
    weights = lstm(args.layers, args.width, args.symbols)
    print(f"LSTM of {args.layers}x{args.width} units, {args.symbols} symbols, {STEPS} steps a run")
    print("\n| arithmetic | rows | case | us a step | to plain |\n|---|---|---|---|---|")
    for precision in PRECISIONS:
        for rows in args.rows:
            for row in measure(weights, precision, rows, args.rounds):
                print(
                    f"| {row.precision} | {row.rows} | {row.case} | {row.us_per_step:.1f} | "
                    f"{row.ratio:.2f} |",
                    flush=True,
                )
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generation.graphs", description=__doc__
    )
    add = parser.add_argument
    add("--layers", type=int, default=2, help="default: %(default)s")
    add("--width", type=int, default=512, help="units of a layer (default: %(default)s)")
    add("--symbols", type=int, default=82, help="default: %(default)s")
    add("--rows", type=int, nargs="+", default=[1, 8, 32], help="default: 1 8 32")
    add("--rounds", type=int, default=31, help="default: %(default)s")
    return parser


def lstm(layers: int, width: int, symbols: int, embedding: int = 64) -> RecurrentWeights:
    """Random weights: their values do not matter to the clock."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> Floats:
        return np.asarray(random.standard_normal(shape) / np.sqrt(shape[-1]), np.float32)

    gates = GATES["lstm"] * width
    return RecurrentWeights(
        cell="lstm",
        embedding=normal(symbols, embedding),
        head=normal(symbols, width),
        head_bias=normal(symbols),
        layers=tuple(
            RecurrentLayer(
                input=normal(gates, width if index else embedding),
                recurrent=normal(gates, width),
                input_bias=normal(gates),
                recurrent_bias=normal(gates),
            )
            for index in range(layers)
        ),
    )


def measure(weights: RecurrentWeights, precision: Precision, rows: int, rounds: int) -> list[Row]:
    """Every case, ``rounds`` times in turn."""
    cases = make_cases(weights, precision, rows)
    for run in cases.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds):
        order = list(cases) if turn % 2 else list(reversed(cases))
        for name in order:
            start = time.thread_time()
            cases[name]()
            times[name].append((time.thread_time() - start) / STEPS * 1e6)
    return [
        Row(
            precision,
            rows,
            name,
            median(taken),
            median(mine / plain for mine, plain in zip(taken, times[PLAIN], strict=True)),
        )
        for name, taken in times.items()
    ]


def make_cases(
    weights: RecurrentWeights, precision: Precision, rows: int
) -> dict[str, Callable[[], object]]:
    """Name -> a run of ``STEPS`` steps of ``rows`` rows."""
    graphs = build_graphs(weights, precision)
    decode = onnx_predict(graphs.decode)
    base = {
        TOKEN: np.arange(rows, dtype=np.int64) % weights.symbols,
        **zero_states(graphs, rows),
        **neutral_controls(rows),
        ALTERNATIVES: np.zeros(rows, np.int64),
        UNIFORM: np.random.default_rng(1).random((rows, STEPS), np.float32),
    }
    changes: dict[str, dict[str, np.ndarray]] = {
        PLAIN: {},
        TOP_P_CASE: {TOP_P: np.full(rows, 0.9, np.float32)},
        ALTERNATIVES_CASE: {ALTERNATIVES: np.ones(rows, np.int64)},
        PENALTIES_CASE: {REPETITION_PENALTY: np.full(rows, 1.2, np.float32)},
    }

    def inside(inputs: Arrays) -> Callable[[], object]:
        return lambda: decode(inputs)

    step = onnx_predict(step_graph(weights, precision))
    states = {name: base[name] for name in zero_states(graphs, rows) if name != "counts"}
    cases: dict[str, Callable[[], object]] = {
        name: inside({**base, **change}) for name, change in changes.items()
    }
    cases[OUTSIDE] = lambda: step_from_outside(step, base, states)
    return cases


def step_from_outside(step: Predict, inputs: Arrays, states: Mapping[str, np.ndarray]) -> None:
    """As many steps as the numbers in ``inputs``, drawn in NumPy without any control."""
    token, uniform = np.asarray(inputs[TOKEN], np.int64), np.asarray(inputs[UNIFORM], np.float32)
    now: dict[str, np.ndarray] = dict(states)
    for place in range(uniform.shape[1]):
        outputs = step({TOKEN: token, **now})
        now = {name: np.asarray(outputs[f"next_{name}"]) for name in now}
        scores = np.asarray(outputs[SCORES], np.float32)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        sums = np.cumsum(weights, axis=1)
        token = (sums > (uniform[:, place] * sums[:, -1])[:, None]).argmax(axis=1)


def step_graph(weights: RecurrentWeights, precision: Precision) -> onnx.ModelProto:
    """One step: token and states in, scores and states out."""
    arithmetic = make_arithmetic(precision)
    network = RecurrentNetwork(weights, arithmetic)
    head = Head(weights.head, weights.head_bias, arithmetic)
    graph = GraphBuilder()
    carried = network.begin(graph, {spec.name: spec.name for spec in network.states})
    step = network.step(graph, TOKEN, [c.value for c in carried])
    graph.rename(head.scores(graph, step.operand), SCORES)
    for name, value in network.end(graph, step.carried).items():
        graph.rename(value, f"next_{name}")
    pairs = [spec.values() for spec in network.states]
    finished = graph.finish(
        "step",
        [Value(TOKEN, INT64, (BATCH,)), *(before for before, _ in pairs)],
        [Value(SCORES, FLOAT, (BATCH, head.symbols)), *(result for _, result in pairs)],
    )
    finished.initializer.extend(graph.initializers())
    return helper.make_model(
        finished, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )


def zero_states(graphs: GeneratorGraphs, rows: int) -> dict[str, np.ndarray]:
    """Input name -> zeros [rows, ...]."""
    names = {pair.input for pair in graphs.states}
    return {
        value.name: np.zeros(
            (rows, *(d.dim_value for d in value.type.tensor_type.shape.dim[1:])), np.float32
        )
        for value in graphs.decode.graph.input
        if value.name in names
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
