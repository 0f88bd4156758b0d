"""The engine of a generator over real graphs: whose state goes where, and that it is exact."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quartet.artifact import METADATA_KEY, parse_task
from quartet.generation import TextGenerationTask
from serving.decoder import OnnxDecoder
from serving.device_state_table import DeviceStateTable
from serving.errors import InferenceFailed, ShuttingDown
from serving.generation_types import Sampling
from serving.generator_check import GeneratorLayout, check_generator
from serving.providers import Device
from serving.session import OnnxSession, SessionOptions
from serving.state_table import Blocks, HostStateTable, RowSpec, StateTable
from serving.token_scheduler import DecodeRun, Move, PrefillRun, RowState, RunResult
from tests.text_models import VOCABULARY, make_text_model
from training.graphs.products import Precision

CPU = Device("cpu", "a test")
SLOTS = 12
TableOf = Callable[[GeneratorLayout], StateTable]


@dataclass
class Loaded:
    """Both graphs of one model, and what they have."""

    decode: OnnxSession
    prefill: OnnxSession
    layout: GeneratorLayout

    def engine(self, table_of: TableOf | None = None) -> OnnxDecoder:
        table = (table_of or host_table)(self.layout)
        return OnnxDecoder(self.decode, self.prefill, self.layout, table)


def host_table(layout: GeneratorLayout) -> StateTable:
    return HostStateTable(layout.row_specs, SLOTS)


def device_table(layout: GeneratorLayout) -> StateTable:
    """The device path, the device being the CPU."""
    return DeviceStateTable(layout.row_specs, SLOTS, CPU)


def open_model(folder: Path, options: SessionOptions | None = None) -> Loaded:
    decode, prefill = (
        OnnxSession(folder / file, CPU, options or SessionOptions())
        for file in ("model.onnx", "prefill.onnx")
    )
    task = parse_task(decode.metadata[METADATA_KEY])
    assert isinstance(task, TextGenerationTask)
    return Loaded(decode, prefill, check_generator(task, decode, prefill))


@pytest.fixture(
    scope="module", params=[("lstm", "float32"), ("lstm", "int8"), ("gru", "int8"), ("tcn", None)]
)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    cell, precision = request.param
    folder = tmp_path_factory.mktemp("models")
    return open_model(
        make_text_model(folder / "m", cell=cell, precision=precision or "float32", goldens=False)
    )


@pytest.fixture(params=[host_table, device_table], ids=["host", "device"])
def engine(loaded: Loaded, request: pytest.FixtureRequest) -> OnnxDecoder:
    return loaded.engine(request.param)


@pytest.fixture
def fresh(tmp_path: Path) -> Loaded:
    """A model of its own, which a test may break."""
    return open_model(make_text_model(tmp_path / "m", goldens=False))


def decode_run(
    slots: Sequence[int],
    tokens: Sequence[int],
    uniform: Any,
    *,
    sampling: Sequence[Sampling] | None = None,
    alternatives: Sequence[int] | None = None,
    **more: Any,
) -> DecodeRun:
    rows = len(slots)
    return DecodeRun(
        moves=more.pop("moves", ()),
        slots=tuple(slots),
        token=np.array(tokens, np.int64),
        sampling=tuple(sampling or [Sampling()] * rows),
        alternatives=np.array(alternatives or [0] * rows, np.int64),
        uniform=np.array(uniform, np.float32),
        **more,
    )


def prefill_run(
    slots: Sequence[int],
    prompts: Sequence[Sequence[int]],
    *,
    moves: tuple[Move, ...] = (),
    score: bool = False,
) -> PrefillRun:
    tokens = np.zeros((len(slots), max(1, *map(len, prompts))), np.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
    return PrefillRun(
        moves=moves,
        slots=tuple(slots),
        tokens=tokens,
        lengths=np.array([len(prompt) for prompt in prompts], np.int64),
        score=score,
    )


def uniforms(rows: int, steps: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    random = np.random.default_rng(seed)
    return (random.integers(0, 2**23, (rows, steps)) / 2**23).astype(np.float32)


def drawn(result: RunResult) -> list[list[int]]:
    assert result.tokens is not None
    return [[int(token) for token in row] for row in result.tokens]


def assert_equal_states(one: RowState, other: RowState) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def assert_zero(state: RowState) -> None:
    assert [float(np.abs(array).max()) for array in state.values()] == [0.0] * len(state)


def test_decode_gives_every_output_of_the_runs_shape(engine: OnnxDecoder) -> None:
    result = engine.execute(decode_run((3, 1), (5, 6), uniforms(2, 4), alternatives=(0, 2)))
    assert result.tokens is not None
    assert result.tokens.shape == (2, 4)
    assert result.log_probabilities is not None
    assert result.log_probabilities.shape == (2, 4)
    assert result.top_tokens is not None
    assert result.top_tokens.shape == (2, 4, engine.top)
    assert result.top_log_probabilities is not None
    assert np.all(np.diff(result.top_log_probabilities[1]) <= 0)
    assert np.all((result.tokens >= 0) & (result.tokens < len(VOCABULARY)))
    assert np.all(result.log_probabilities < 0)
    assert result.seconds > 0


def test_prefill_gives_scores_only_where_they_are_wanted(engine: OnnxDecoder) -> None:
    without = engine.execute(prefill_run((0,), [(4, 5, 6)]))
    assert without.log_probabilities is None
    scored = engine.execute(prefill_run((1,), [(4, 5, 6)], score=True))
    assert scored.log_probabilities is not None
    assert scored.log_probabilities.shape == (1, 3, len(VOCABULARY))
    np.testing.assert_allclose(np.exp(scored.log_probabilities).sum(2), 1, rtol=1e-5)
    before = scored.log_probabilities.copy()
    engine.execute(prefill_run((2,), [(7, 8, 9)]))
    np.testing.assert_array_equal(scored.log_probabilities, before)
    assert_equal_states(engine.read_state(0), engine.read_state(1))


def test_result_is_not_overwritten_by_later_runs(engine: OnnxDecoder) -> None:
    first = engine.execute(decode_run((0,), (5,), uniforms(1, 8)))
    kept = drawn(first)
    engine.execute(decode_run((0,), (9,), uniforms(1, 8, seed=1)))
    assert drawn(first) == kept


def test_a_rows_text_is_the_same_alone_and_in_any_company(engine: OnnxDecoder) -> None:
    numbers = uniforms(1, 16)
    own = Sampling(temperature=0.9, top_p=0.95)
    alone = engine.execute(decode_run((0,), (5,), numbers, sampling=[own]))
    state = engine.read_state(0)
    other = Sampling(temperature=2.0, top_k=3, repetition_penalty=1.5, presence_penalty=0.5)
    for rows in (2, 3, 8, SLOTS):
        for place in (0, rows // 2, rows - 1):
            crowd = uniforms(rows, 16, seed=rows)
            crowd[place] = numbers[0]
            sampling = [own if row == place else other for row in range(rows)]
            slots = tuple(reversed(range(rows)))
            engine.execute(prefill_run(slots, [(row + 1,) * row for row in range(rows)]))
            result = engine.execute(
                decode_run(
                    slots,
                    [5 if row == place else row for row in range(rows)],
                    crowd,
                    sampling=sampling,
                    alternatives=[5 * (row != place) for row in range(rows)],
                    moves=(Move(slot=slots[place]),),
                )
            )
            assert drawn(result)[place] == drawn(alone)[0]
            assert result.log_probabilities is not None
            assert alone.log_probabilities is not None
            np.testing.assert_array_equal(
                result.log_probabilities[place], alone.log_probabilities[0]
            )
            assert_equal_states(engine.read_state(slots[place]), state)


def test_a_text_is_the_same_however_its_steps_are_divided(engine: OnnxDecoder) -> None:
    numbers = uniforms(1, 16)
    whole = engine.execute(decode_run((0,), (5,), numbers))
    for parts in ((5, 11), (1,) * 16):
        token, text, start = 5, [], 0
        engine.execute(prefill_run((4,), [()], moves=(Move(slot=4),)))
        for steps in parts:
            run = decode_run((4,), (token,), numbers[:, start : start + steps])
            text += drawn(engine.execute(run))[0]
            token, start = text[-1], start + steps
        assert text == drawn(whole)[0]
        assert_equal_states(engine.read_state(4), engine.read_state(0))


def test_a_prompt_leaves_the_same_state_however_it_is_divided(engine: OnnxDecoder) -> None:
    prompt = tuple(range(3, 23))
    engine.execute(prefill_run((0,), [prompt]))
    for size in (1, 7, 19):
        engine.execute(prefill_run((1,), [prompt[:size]], moves=(Move(slot=1),)))
        engine.execute(prefill_run((2, 1), [(9,) * 30, prompt[size:]]))
        assert_equal_states(engine.read_state(1), engine.read_state(0))


def test_reading_and_writing_a_text_leave_the_same_state(engine: OnnxDecoder) -> None:
    result = engine.execute(decode_run((0,), (5,), uniforms(1, 16)))
    engine.execute(prefill_run((1,), [(5, *drawn(result)[0][:-1])]))
    assert_equal_states(engine.read_state(1), engine.read_state(0))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_number_of_threads_inside_a_run_changes_nothing(
    tmp_path: Path, precision: Precision
) -> None:
    # Wide enough for ONNX Runtime to share one product among threads.
    folder = make_text_model(tmp_path / "m", width=128, precision=precision, goldens=False)
    run = decode_run(range(8), range(8), uniforms(8, 8))
    one, several = (
        open_model(folder, SessionOptions(intra_op_threads=threads)).engine() for threads in (1, 3)
    )
    assert drawn(one.execute(run)) == drawn(several.execute(run))
    for slot in run.slots:
        assert_equal_states(one.read_state(slot), several.read_state(slot))


def test_only_the_runs_slots_change(engine: OnnxDecoder) -> None:
    engine.execute(prefill_run(range(SLOTS), [(row + 1, row) for row in range(SLOTS)]))
    before = [engine.read_state(slot) for slot in range(SLOTS)]
    engine.execute(decode_run((7, 2), (5, 6), uniforms(2, 3)))
    for slot in set(range(SLOTS)) - {7, 2}:
        assert_equal_states(engine.read_state(slot), before[slot])
    for slot in (7, 2):
        assert not np.array_equal(engine.read_state(slot)["counts"], before[slot]["counts"])


def test_moves_come_before_the_run_and_read_before_they_write(engine: OnnxDecoder) -> None:
    engine.execute(prefill_run((0, 1), [(4, 5), (6, 7, 8)]))
    first, second = engine.read_state(0), engine.read_state(1)
    moves = (
        Move(slot=0, source=1),
        Move(slot=1, source=0),
        Move(slot=2, state=second),
        Move(slot=3),
    )
    engine.execute(prefill_run((0, 1, 2, 3), [(), (), (), ()], moves=moves))
    assert_equal_states(engine.read_state(0), second)
    assert_equal_states(engine.read_state(1), first)
    assert_equal_states(engine.read_state(2), second)
    assert_zero(engine.read_state(3))


def test_snapshots_are_the_states_before_the_run_and_after_its_moves(engine: OnnxDecoder) -> None:
    engine.execute(prefill_run((0, 1), [(4, 5), (6, 7)]))
    first = engine.read_state(0)
    run = decode_run(
        (2, 1, 0), (3, 3, 3), uniforms(3, 4), snapshots=(0, 2), moves=(Move(slot=2, source=0),)
    )
    result = engine.execute(run)
    assert result.snapshots.keys() == {0, 2}
    assert_equal_states(result.snapshots[0], first)
    assert_equal_states(result.snapshots[2], first)
    engine.execute(decode_run((2,), (3,), uniforms(1, 4)))
    assert_equal_states(result.snapshots[0], first)


def test_a_run_that_fails_changes_nothing_but_by_its_moves(engine: OnnxDecoder) -> None:
    engine.execute(prefill_run((0, 1), [(4, 5), (6, 7)]))
    before = engine.read_state(0)
    bad = len(VOCABULARY) + 1
    with pytest.raises(InferenceFailed, match=r"ONNX Runtime: .*out of data bounds"):
        engine.execute(decode_run((0, 1), (3, bad), uniforms(2, 4), moves=(Move(slot=1),)))
    assert_equal_states(engine.read_state(0), before)
    assert_zero(engine.read_state(1))
    with pytest.raises(InferenceFailed):
        engine.execute(prefill_run((0,), [(3, bad)]))
    assert_equal_states(engine.read_state(0), before)
    engine.execute(decode_run((0,), (3,), uniforms(1, 4)))


def test_a_state_that_does_not_fit_fails_the_run_by_name(engine: OnnxDecoder) -> None:
    state = {"counts": np.zeros(3, np.float32)}
    with pytest.raises(
        InferenceFailed, match="state to continue from does not fit: state 'counts'"
    ):
        engine.execute(prefill_run((0,), [(1,)], moves=(Move(slot=0, state=state),)))


def test_threads_may_run_disjoint_slots_at_once(engine: OnnxDecoder) -> None:
    def write(slot: int) -> list[int]:
        token, text = slot + 1, []
        for part in range(6):
            run = decode_run((slot,), (token,), uniforms(1, 8, seed=10 * slot + part))
            text += drawn(engine.execute(run))[0]
            token = text[-1]
        return text

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(write, range(8)))
    for slot in range(8):
        engine.execute(prefill_run((slot,), [()], moves=(Move(slot=slot),)))
    assert [write(slot) for slot in range(8)] == together


def test_memory_of_earlier_runs_is_used_again(loaded: Loaded) -> None:
    class Counting(HostStateTable):
        made = 0

        def blocks(self, rows: int, specs: Sequence[RowSpec] | None = None) -> Blocks:
            self.made += 1
            return super().blocks(rows, specs)

    table = Counting(loaded.layout.row_specs, SLOTS)
    engine = loaded.engine(lambda _: table)
    for rows in (1, 5, 2, SLOTS):
        engine.execute(decode_run(range(rows), [1] * rows, uniforms(rows, 3)))
        engine.execute(prefill_run(range(rows), [(1, 2)] * rows, score=rows == 2))
    # States before and after, and constants, for the one run that there ever was at a time.
    assert table.made == 3


def test_interrupt_ends_runs_of_both_graphs(fresh: Loaded) -> None:
    engine = fresh.engine()
    engine.interrupt()
    with pytest.raises(ShuttingDown):
        engine.execute(decode_run((0,), (3,), uniforms(1, 4)))
    with pytest.raises(ShuttingDown):
        engine.execute(prefill_run((0,), [(3,)]))


def test_controls_that_the_graph_lacks_are_not_fed(tmp_path: Path) -> None:
    folder = make_text_model(tmp_path / "m", goldens=False)
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    kept = [value for value in model.graph.input if value.name != "frequency_penalty"]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.append(
        numpy_helper.from_array(np.zeros(1, np.float32), "frequency_penalty")
    )
    onnx.save(model, folder / "model.onnx")
    loaded = open_model(folder)
    assert "frequency_penalty" not in loaded.layout.controls
    asks = Sampling(frequency_penalty=2.0)
    result = loaded.engine().execute(
        decode_run((0, 1), (3, 3), np.tile(uniforms(1, 8), (2, 1)), sampling=[Sampling(), asks])
    )
    assert drawn(result)[0] == drawn(result)[1]
