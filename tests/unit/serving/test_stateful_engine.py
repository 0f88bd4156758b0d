"""One run of steps: what the graph is fed, what is kept, and what a fault leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serving.errors import InferenceFailed
from serving.scheduler import SequenceStep, Work
from serving.sequence_life import SequenceRules
from serving.sequence_plan import ControlSpec, SequencePlan
from serving.state_table import HostStateTable, StateSpec
from serving.stateful_engine import StatefulEngine, WarmupEngine, control_tensors
from serving.types import Array, Datatype

H = StateSpec(input="h", output="g", dtype=np.dtype(np.float32), shape=(2,))
PLAN = SequencePlan(states=(H,), initial={}, controls=(), rules=SequenceRules(slots=4, max_rows=4))
INITIAL = {"h": np.array([0.5, 1.5], np.float32)}


class Adding:
    """h' = h + x, which is also y; ``wrong`` gives a state of another shape."""

    def __init__(self) -> None:
        self.feeds: list[Mapping[str, Array]] = []
        self.wanted: list[list[str]] = []
        self.wrong = False

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        self.feeds.append(inputs)
        self.wanted.append(list(outputs))
        y = inputs["h"] + inputs["x"]
        state = y[..., :1] if self.wrong else y
        return [{"y": y, "g": state}[name] for name in outputs]


def work(x: float, flags: str = "", outputs: tuple[str, ...] = ("y",), **more: Any) -> Work:
    step = SequenceStep(id=1, start="s" in flags, end="e" in flags)
    inputs = {"x": np.full((1, 2), x, np.float32)}
    return Work(**{"inputs": inputs, "rows": 1, "outputs": outputs, "sequence": step, **more})


def make(plan: SequencePlan = PLAN, *, batches: bool = True) -> tuple[StatefulEngine, Adding]:
    graph, table = Adding(), HostStateTable(plan.states, 4)
    return StatefulEngine(graph, plan, table, INITIAL, batches=batches), graph


def test_run_begins_with_the_initial_state_and_keeps_the_new_one() -> None:
    engine, _ = make()
    first = engine.run([work(1, "s"), work(2, "s")], [3, 0])
    assert [answer["y"].tolist() for answer in first] == [[[1.5, 2.5]], [[2.5, 3.5]]]
    second = engine.run([work(10), work(20)], [0, 3])
    assert [answer["y"].tolist() for answer in second] == [[[12.5, 13.5]], [[21.5, 22.5]]]


def test_run_gives_a_state_that_was_asked_for_without_running_it_twice() -> None:
    engine, graph = make()
    (answer,) = engine.run([work(1, "s", outputs=("g", "y"))], [0])
    assert graph.wanted == [["g", "y"]]
    assert answer["g"].tolist() == [[1.5, 2.5]]


def test_run_of_a_graph_without_a_batch_axis_feeds_one_row() -> None:
    engine, graph = make(batches=False)
    vector = np.ones(2, np.float32)
    engine.run([work(1, "s", inputs={"x": vector})], [2])
    (answer,) = engine.run([work(1, inputs={"x": vector})], [2])
    assert graph.feeds[0]["h"].shape == (2,)
    assert answer["y"].tolist() == [2.5, 3.5]


def test_run_keeps_every_state_when_the_graph_gives_a_wrong_one() -> None:
    engine, graph = make()
    engine.run([work(1, "s")], [0])
    graph.wrong = True
    with pytest.raises(InferenceFailed, match="state 'h' is float32 \\[1\\], expected"):
        engine.run([work(5)], [0])
    graph.wrong = False
    (answer,) = engine.run([work(0)], [0])
    assert answer["y"].tolist() == [[1.5, 2.5]]


def test_run_without_states_only_tells_the_controls() -> None:
    plan = replace(PLAN, states=())

    class Echo:
        def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
            return [inputs["x"] for _ in outputs]

    engine = StatefulEngine(Echo(), plan, HostStateTable((), 4), {}, batches=True)
    (answer,) = engine.run([work(3, "s")], [1])
    assert answer["y"].tolist() == [[3, 3]]


@pytest.mark.parametrize(
    ("kind", "datatype", "false_true", "expected"),
    [
        ("start", Datatype.INT32, (-1, 1), [[1], [-1]]),
        ("end", Datatype.BOOL, (False, True), [[False], [True]]),
        ("ready", Datatype.FP32, (0.0, 0.5), [[0.5], [0.5]]),
        ("id", Datatype.INT64, (0, 1), [[7], [8]]),
    ],
)
def test_controls_are_one_element_a_step(
    kind: Any, datatype: Datatype, false_true: tuple[float, float], expected: list[list[Any]]
) -> None:
    control = ControlSpec(
        input="c", kind=kind, datatype=datatype, shape=(1,), false_true=false_true
    )
    steps = [SequenceStep(id=7, start=True), SequenceStep(id=8, end=True)]
    tensor = control_tensors([control], steps, batches=True)["c"]
    assert tensor.dtype == datatype.dtype
    assert tensor.tolist() == expected
    (single,) = control_tensors([control], steps[:1], batches=False).values()
    assert single.tolist() == expected[0]


def test_text_ids_are_objects_of_text() -> None:
    control = ControlSpec(
        input="c", kind="id", datatype=Datatype.BYTES, shape=(1,), false_true=(0, 1)
    )
    tensor = control_tensors([control], [SequenceStep(id="é")], batches=True)["c"]
    assert (tensor.dtype, tensor.tolist()) == (np.dtype(np.object_), [["é"]])


@pytest.mark.parametrize("rows", [1, 3])
def test_warmup_adds_what_no_client_gives(rows: int) -> None:
    graph = Adding()
    engine = WarmupEngine(graph, PLAN, INITIAL, batches=True)
    (y,) = engine.run({"x": np.zeros((rows, 2), np.float32)}, ["y"])
    assert y.tolist() == [[0.5, 1.5]] * rows
    (y,) = engine.run({"x": np.zeros((1, 2), np.float32), "h": np.ones((1, 2), np.float32)}, ["y"])
    assert y.tolist() == [[1, 1]]
