"""The engine over the graphs of a captioner: constants, attention, stop symbols that must wait."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.artifact import METADATA_KEY, ImageCaptioningTask, parse_task
from serving.decoder import OnnxDecoder
from serving.device_state_table import DeviceStateTable
from serving.errors import InferenceFailed
from serving.generation_types import Sampling
from serving.generator_check import GeneratorLayout, check_generator
from serving.providers import Device
from serving.session import OnnxSession, SessionOptions
from serving.state_table import HostStateTable, StateTable
from serving.token_scheduler import DecodeRun, Floats, Ids, Move, PrefillRun, RowState, RunResult
from tests.caption_models import END, PLACES, VOCABULARY, make_caption_model

CPU = Device("cpu", "a test")
SLOTS = 6
STOP = VOCABULARY.index(END)
CONSTANTS = ("keys", "values")
TableOf = Callable[[GeneratorLayout], StateTable]


@dataclass
class Captioner:
    """Both graphs that write, and what they have."""

    decode: OnnxSession
    prefill: OnnxSession
    layout: GeneratorLayout

    def engine(self, table_of: TableOf | None = None) -> OnnxDecoder:
        table = (table_of or host_table)(self.layout)
        return OnnxDecoder(self.decode, self.prefill, self.layout, table)

    def picture(self, seed: int) -> dict[str, Floats]:
        """What the encoder might make of one: all but ``counts``."""
        random = np.random.default_rng(seed)
        return {
            spec.input: random.standard_normal(spec.shape, np.float32)
            for spec in self.layout.row_specs
            if spec.input != "counts"
        }


def host_table(layout: GeneratorLayout) -> StateTable:
    return HostStateTable(layout.row_specs, SLOTS)


def device_table(layout: GeneratorLayout) -> StateTable:
    """The device path, the device being the CPU."""
    return DeviceStateTable(layout.row_specs, SLOTS, CPU)


def open_captioner(version: Path) -> Captioner:
    decode, prefill = (
        OnnxSession(version / file, CPU, SessionOptions())
        for file in ("model.onnx", "prefill.onnx")
    )
    task = parse_task(decode.metadata[METADATA_KEY])
    assert isinstance(task, ImageCaptioningTask)
    return Captioner(decode, prefill, check_generator(task, decode, prefill))


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    return open_captioner(make_caption_model(tmp_path_factory.mktemp("m") / "m", goldens=False))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    """Without attention, so without constants."""
    folder = tmp_path_factory.mktemp("m") / "m"
    return open_captioner(make_caption_model(folder, attention=False, goldens=False))


@pytest.fixture(params=[host_table, device_table], ids=["host", "device"])
def engine(captioner: Captioner, request: pytest.FixtureRequest) -> OnnxDecoder:
    return captioner.engine(request.param)


def writing(
    slots: Sequence[int],
    *moves: Move,
    tokens: Sequence[int] = (),
    steps: int = 4,
    attention: bool = True,
    **more: Any,
) -> DecodeRun:
    """Every row draws by the numbers of its token."""
    rows = len(slots)
    first = np.array(tokens or [0] * rows, np.int64)
    numbers = [np.random.default_rng(token).random(steps, np.float32) for token in first]
    return DecodeRun(
        moves=moves,
        slots=tuple(slots),
        token=first,
        sampling=more.pop("sampling", (Sampling(),) * rows),
        alternatives=np.full(rows, 3, np.int64),
        uniform=np.stack(numbers),
        attention=attention,
        **more,
    )


def reading(
    slots: Sequence[int], prompt: Sequence[int], *moves: Move, attention: bool = True
) -> PrefillRun:
    return PrefillRun(
        moves=moves,
        slots=tuple(slots),
        tokens=np.tile(np.array(prompt, np.int64), (len(slots), 1)),
        lengths=np.full(len(slots), len(prompt), np.int64),
        score=True,
        attention=attention,
    )


def row_of(result: RunResult, row: int) -> tuple[list[Any], ...]:
    """All that a row gets."""
    arrays = (
        result.tokens,
        result.log_probabilities,
        result.top_tokens,
        result.top_log_probabilities,
        result.attention,
    )
    return tuple([] if array is None else array[row].tolist() for array in arrays)


def assert_equal_rows(one: RowState, other: RowState) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_layout_of_the_exported_graphs(captioner: Captioner, plain: Captioner) -> None:
    assert tuple(spec.input for spec in captioner.layout.constants) == CONSTANTS
    assert (captioner.layout.places, captioner.engine().places) == (PLACES, PLACES)
    assert (plain.layout.constants, plain.layout.places, plain.engine().places) == ((), 0, 0)
    assert captioner.layout.minimum
    assert plain.layout.minimum


def test_decode_gives_attention_only_where_it_is_wanted(
    captioner: Captioner, engine: OnnxDecoder
) -> None:
    moves = [Move(slot=slot, state=captioner.picture(slot)) for slot in (0, 1)]
    texts = []
    for wanted in (True, False, True):
        result = engine.execute(writing((0, 1), *moves, attention=wanted))
        assert (result.attention is not None) == wanted
        texts.append(row_of(result, 0)[:4])
        if result.attention is not None:
            assert result.attention.shape == (2, 4, PLACES)
            # Softmax over four places in float32.
            np.testing.assert_allclose(result.attention.sum(2), 1, rtol=1e-6)
    assert texts[0] == texts[1] == texts[2]


def test_attention_of_reading_is_that_of_writing_the_same_symbols(
    captioner: Captioner, engine: OnnxDecoder
) -> None:
    state = captioner.picture(1)
    written = engine.execute(writing((2,), Move(slot=2, state=state)))
    assert written.tokens is not None
    assert written.attention is not None
    symbols = [0, *written.tokens[0, :-1].tolist()]
    read = engine.execute(reading((3, 4), symbols, *(Move(slot=s, state=state) for s in (3, 4))))
    assert read.attention is not None
    kept = read.attention.copy()
    np.testing.assert_array_equal(kept[0], written.attention[0])
    engine.execute(reading((4,), symbols))
    np.testing.assert_array_equal(read.attention, kept)
    assert engine.execute(reading((4,), symbols, attention=False)).attention is None


def test_a_model_without_attention_gives_none(plain: Captioner) -> None:
    engine = plain.engine()
    move = Move(slot=0, state=plain.picture(1))
    assert engine.execute(writing((0,), move)).attention is None
    assert engine.execute(reading((0,), (0, 3))).attention is None


def test_states_that_are_left_out_begin_at_zero(captioner: Captioner, engine: OnnxDecoder) -> None:
    picture = captioner.picture(3)
    first = engine.execute(writing((0,), Move(slot=0, state=picture)))
    again = engine.execute(writing((0,), Move(slot=0, state=picture)))
    assert row_of(first, 0) == row_of(again, 0)
    counts = np.zeros(len(VOCABULARY), np.float32)
    whole = engine.execute(writing((0,), Move(slot=0, state={**picture, "counts": counts})))
    assert row_of(first, 0) == row_of(whole, 0)


@pytest.mark.parametrize("missing", CONSTANTS)
def test_a_row_without_its_constants_fails_by_name(
    captioner: Captioner, engine: OnnxDecoder, missing: str
) -> None:
    state = captioner.picture(3)
    del state[missing]
    with pytest.raises(InferenceFailed, match=f"does not fit: constant '{missing}' is missing"):
        engine.execute(writing((0,), Move(slot=0, state=state)))


def test_a_row_goes_on_from_what_was_read_of_its_slot(
    captioner: Captioner, engine: OnnxDecoder
) -> None:
    engine.execute(writing((0,), Move(slot=0, state=captioner.picture(3))))
    state = engine.read_state(0)
    assert set(CONSTANTS) <= state.keys()
    snapshot = engine.execute(writing((0,), snapshots=(0,))).snapshots[0]
    assert_equal_rows(state, snapshot)
    after = engine.read_state(0)
    engine.execute(writing((5,), Move(slot=5, state=state)))
    assert_equal_rows(engine.read_state(5), after)


@pytest.mark.parametrize("minimum", [None, (0, 3), (8, 0), (9, 99)])
def test_no_stop_symbol_comes_before_its_time(
    captioner: Captioner, engine: OnnxDecoder, minimum: tuple[int, int] | None
) -> None:
    moves = [Move(slot=slot, state=captioner.picture(5)) for slot in (0, 1)]
    likely = Sampling(temperature=0.0)
    free = writing((0, 1), *moves, steps=8, sampling=(likely, likely))
    text = engine.execute(free).tokens
    assert text is not None
    assert STOP in text[0]
    asked: Ids | None = None if minimum is None else np.array(minimum, np.int64)
    bound = writing((0, 1), *moves, steps=8, sampling=(likely, likely), minimum=asked)
    result = engine.execute(bound).tokens
    assert result is not None
    for row, least in enumerate(minimum or (0, 0)):
        assert STOP not in result[row, :least]
        assert (result[row].tolist() == text[row].tolist()) == (STOP not in text[row, :least])
    # The next run of the same shape forbids nothing.
    after = engine.execute(free).tokens
    np.testing.assert_array_equal(after, text)


def test_a_run_that_fails_leaves_every_row_its_constants(
    captioner: Captioner, engine: OnnxDecoder
) -> None:
    moves = [Move(slot=slot, state=captioner.picture(slot)) for slot in (0, 1)]
    expected = engine.execute(writing((1, 0), *moves))
    with pytest.raises(InferenceFailed):
        engine.execute(writing((1, 0), *moves, tokens=(0, len(VOCABULARY))))
    again = engine.execute(writing((1, 0)))
    assert [row_of(again, row) for row in (0, 1)] == [row_of(expected, row) for row in (0, 1)]


# Whatever was run before, with whatever constants, a row gets what it would get alone


@dataclass(frozen=True)
class Act:
    """Moves, then a run of some slots."""

    loads: dict[int, int]
    """Slot -> picture."""
    copies: dict[int, tuple[int, bool]]
    """Slot -> source, and whether its constants too."""
    slots: tuple[int, ...]
    prefill: bool


@st.composite
def acts(draw: st.DrawFn) -> Act:
    slots = draw(st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=4, unique=True))
    loads = draw(st.dictionaries(st.sampled_from(slots), st.integers(0, 3), max_size=2))
    others = [slot for slot in slots if slot not in loads]
    copy = st.tuples(st.integers(0, SLOTS - 1), st.booleans())
    copies = draw(st.dictionaries(st.sampled_from(others), copy, max_size=3)) if others else {}
    return Act(loads, copies, tuple(slots), draw(st.booleans()))


def moves_of(act: Act, pictures: Sequence[RowState]) -> list[Move]:
    loads = [Move(slot=slot, state=pictures[one]) for slot, one in act.loads.items()]
    return loads + [
        Move(slot=slot, source=source, constants=constants)
        for slot, (source, constants) in act.copies.items()
    ]


def moved(rows: list[RowState], act: Act, pictures: Sequence[RowState]) -> list[RowState]:
    """``rows`` after the moves of ``act``, as the contract says."""
    after = list(rows)
    for slot, one in act.loads.items():
        after[slot] = {**pictures[one], "counts": np.zeros(len(VOCABULARY), np.float32)}
    for slot, (source, constants) in act.copies.items():
        kept = {} if constants else {name: rows[slot][name] for name in CONSTANTS}
        after[slot] = {**rows[source], **kept}
    return after


@pytest.mark.parametrize("table_of", [host_table, device_table], ids=["host", "device"])
@settings(max_examples=25, deadline=None)
@given(script=st.lists(acts(), min_size=1, max_size=8))
def test_a_row_gets_what_it_would_get_alone(
    captioner: Captioner, table_of: TableOf, script: list[Act]
) -> None:
    engine, alone = captioner.engine(table_of), captioner.engine()
    pictures = [captioner.picture(seed) for seed in range(4)]
    begin = [Move(slot=slot, state=pictures[slot % 4]) for slot in range(SLOTS)]
    engine.execute(writing(range(SLOTS), *begin))
    rows: list[RowState] = [engine.read_state(slot) for slot in range(SLOTS)]
    for act in script:
        make = (lambda *given: reading(given[0], (0, 4, 5), *given[1:])) if act.prefill else writing
        result = engine.execute(make(act.slots, *moves_of(act, pictures)))
        rows = moved(rows, act, pictures)
        for place, slot in enumerate(act.slots):
            single = alone.execute(make((0,), Move(slot=0, state=rows[slot])))
            assert row_of(result, place) == row_of(single, 0)
            rows[slot] = alone.read_state(0)
    for slot, row in enumerate(rows):
        assert_equal_rows(engine.read_state(slot), row)
