"""Rows of state in the host's memory and in a device's: one behaviour, two homes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.config import ConfigError
from scripts.generate_row_graphs import row_graphs
from serving.device_state_table import GRAPHS, DeviceStateTable
from serving.providers import Device
from serving.state_table import HostStateTable, RowSpec, StateSpec, StateTable
from serving.token_scheduler import Move
from serving.types import Array

SLOTS = 6
SPECS = (
    StateSpec(input="h", output="h_out", dtype=np.dtype(np.float32), shape=(2, 3)),
    StateSpec(input="n", output="n_out", dtype=np.dtype(np.int64), shape=(1,)),
)
CONSTANT = RowSpec(input="k", dtype=np.dtype(np.float32), shape=(4, 2))
MakeTable = Callable[[Sequence[RowSpec], int], StateTable]


def device_table(specs: Sequence[RowSpec], slots: int) -> StateTable:
    """The device path, the device being the CPU: its graphs run on any provider."""
    return DeviceStateTable(specs, slots, Device("cpu", "a test"))


HOMES = pytest.mark.parametrize("make", [HostStateTable, device_table], ids=["host", "device"])


def rows_of(*values: float) -> dict[str, Array]:
    """A batch whose row i is filled with ``values[i]``, in every state."""
    column = np.array(values)
    return {
        spec.input: np.broadcast_to(
            column.reshape(-1, *[1] * len(spec.shape)), (len(values), *spec.shape)
        ).astype(spec.dtype)
        for spec in SPECS
    }


def row_of(value: float) -> dict[str, Array]:
    return {name: rows[0] for name, rows in rows_of(value).items()}


def filled(make: MakeTable) -> StateTable:
    """Slot i holds 10 * i."""
    table = make(SPECS, SLOTS)
    table.put(range(SLOTS), rows_of(*(10 * i for i in range(SLOTS))))
    return table


def contents(table: StateTable) -> list[float]:
    """What each slot is filled with; fails if a slot is not filled with one value."""
    values = []
    for slot in range(table.slots):
        (value,) = {float(v) for array in table.read(slot).values() for v in array.ravel()}
        values.append(value)
    return values


@HOMES
def test_table_begins_with_zeros(make: MakeTable) -> None:
    assert contents(make(SPECS, SLOTS)) == [0] * SLOTS


@HOMES
def test_table_keeps_dtype_and_shape_of_each_state(make: MakeTable) -> None:
    row = filled(make).read(3)
    assert {name: (a.dtype, a.shape) for name, a in row.items()} == {
        spec.input: (spec.dtype, spec.shape) for spec in SPECS
    }


@HOMES
def test_load_sets_one_slot_alone(make: MakeTable) -> None:
    table = filled(make)
    table.load(4, row_of(7))
    assert contents(table) == [0, 10, 20, 30, 7, 50]


@HOMES
def test_zero_sets_the_slots_named_alone(make: MakeTable) -> None:
    table = filled(make)
    table.zero((5, 2))
    assert contents(table) == [0, 10, 0, 30, 40, 0]


@HOMES
def test_copy_reads_all_sources_before_it_writes(make: MakeTable) -> None:
    table = filled(make)
    table.copy((1, 2, 3, 1), (2, 3, 1, 0))
    assert contents(table) == [10, 30, 10, 20, 40, 50]


@HOMES
def test_what_is_read_is_a_copy(make: MakeTable) -> None:
    table = filled(make)
    for array in table.read(1).values():
        array[:] = 99
    for array in table.take((1, 2)).values():
        array[:] = 99
    assert contents(table) == [0, 10, 20, 30, 40, 50]


@HOMES
def test_take_gives_rows_in_the_order_of_the_slots(make: MakeTable) -> None:
    taken = filled(make).take((4, 0, 4))
    for name, expected in rows_of(40, 0, 40).items():
        np.testing.assert_array_equal(taken[name], expected)


@HOMES
def test_rows_go_through_blocks_and_leave_other_slots_alone(make: MakeTable) -> None:
    table = filled(make)
    blocks = table.blocks(SLOTS)
    table.gather((5, 1, 3), blocks)
    table.scatter((0, 4, 2), blocks)
    assert contents(table) == [50, 10, 30, 30, 10, 50]


@HOMES
def test_apply_reads_what_is_copied_before_it_zeroes_and_loads(make: MakeTable) -> None:
    table = filled(make)
    table.apply(
        [
            Move(slot=1),
            Move(slot=2, state=row_of(7)),
            Move(slot=3, source=1),
            Move(slot=4, source=2),
        ]
    )
    assert contents(table) == [0, 0, 7, 10, 20, 50]


@HOMES
@pytest.mark.parametrize(
    ("state", "named"),
    [
        (
            {"m": np.zeros(1, np.int64)},
            r"states \['h', 'm', 'n'\] were given, expected \['h', 'n'\]",
        ),
        (
            {"h": np.zeros((3, 2), np.float32), "n": np.zeros(1, np.int64)},
            r"state 'h' is float32 \[3, 2\], expected float32 \[2, 3\]",
        ),
        (
            {"h": np.zeros((2, 3), np.float32), "n": np.zeros(1, np.int32)},
            r"state 'n' is int32 \[1\], expected int64 \[1\]",
        ),
    ],
)
def test_load_refuses_another_tables_states_and_changes_nothing(
    make: MakeTable, state: dict[str, Array], named: str
) -> None:
    table = filled(make)
    with pytest.raises(ValueError, match=named):
        table.load(1, state)
    assert contents(table) == [0, 10, 20, 30, 40, 50]


@HOMES
@pytest.mark.parametrize("slot", [-1, SLOTS])
def test_slots_outside_the_table_are_refused(make: MakeTable, slot: int) -> None:
    table = filled(make)
    blocks = table.blocks(2)
    for use in (
        lambda: table.take((0, slot)),
        lambda: table.put((0, slot), rows_of(1, 1)),
        lambda: table.copy((0, slot), (1, 2)),
        lambda: table.copy((1, 2), (0, slot)),
        lambda: table.gather((0, slot), blocks),
        lambda: table.scatter((0, slot), blocks),
    ):
        with pytest.raises(IndexError, match="of a table of 6"):
            use()
    assert contents(table) == [0, 10, 20, 30, 40, 50]


@HOMES
def test_moving_no_slot_is_allowed(make: MakeTable) -> None:
    table = filled(make)
    table.zero(())
    table.apply(())
    assert contents(table) == [0, 10, 20, 30, 40, 50]


@HOMES
def test_threads_may_move_disjoint_slots_at_once(make: MakeTable) -> None:
    table = make(SPECS, 8)

    def work(first: int) -> None:
        mine = range(first, first + 2)
        blocks = table.blocks(2)
        for value in range(200):
            table.put(mine, rows_of(value, value + 0))
            table.gather(mine, blocks)
            table.scatter(mine, blocks)
            table.copy(mine, tuple(reversed(mine)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, (0, 2, 4, 6)))
    assert contents(table) == [199] * 8


Step = tuple[str, tuple[int, ...], tuple[int, ...]]
SLOT = st.integers(0, SLOTS - 1)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["zero", "put", "copy", "blocks"]),
        st.lists(SLOT, unique=True, min_size=1).map(tuple),
        st.lists(SLOT, min_size=SLOTS, max_size=SLOTS).map(tuple),
    ),
    max_size=8,
)


@HOMES
@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_table_holds_what_a_list_would(make: MakeTable, steps: list[Step]) -> None:
    table, expected = filled(make), [10.0 * i for i in range(SLOTS)]
    blocks = table.blocks(SLOTS)
    for number, (kind, targets, sources) in enumerate(steps):
        sources = sources[: len(targets)]
        read = [expected[s] for s in sources]
        if kind == "zero":
            table.zero(targets)
            read = [0.0] * len(targets)
        elif kind == "put":
            read = [100.0 * number + t for t in targets]
            table.put(targets, rows_of(*read))
        elif kind == "copy":
            table.copy(sources, targets)
        else:
            table.gather(sources, blocks)
            table.scatter(targets, blocks)
        for target, value in zip(targets, read, strict=True):
            expected[target] = value
    assert contents(table) == expected


# Constants


Row = tuple[float, float]
"""What a row's states, and its constant, are filled with."""


def constant_of(*values: float) -> dict[str, Array]:
    """A batch of the constant."""
    rows = np.array(values, np.float32).reshape(-1, 1, 1)
    return {"k": np.broadcast_to(rows, (len(values), *CONSTANT.shape))}


def with_constants(make: MakeTable) -> StateTable:
    """Slot i holds states of 10 * i and a constant of 100 + i."""
    table = make((CONSTANT, *SPECS), SLOTS)
    states, constants = rows_of(*range(0, 10 * SLOTS, 10)), constant_of(*range(100, 100 + SLOTS))
    table.put(range(SLOTS), {**states, **constants})
    return table


def rows_in(table: StateTable) -> list[Row]:
    """Fails if a slot's states, or its constant, are not filled with one value."""
    rows = []
    for slot in range(table.slots):
        row = table.read(slot)
        (constant,) = {float(v) for v in row.pop("k").ravel()}
        (state,) = {float(v) for array in row.values() for v in array.ravel()}
        rows.append((state, constant))
    return rows


@HOMES
def test_rows_of_a_run_bring_their_constants_and_take_back_none(make: MakeTable) -> None:
    table = with_constants(make)
    blocks = table.blocks(SLOTS)
    table.gather((5, 1), blocks)
    table.scatter((0, 4), blocks)
    assert rows_in(table) == [(50, 100), (10, 101), (20, 102), (30, 103), (10, 104), (50, 105)]


@HOMES
def test_load_sets_states_that_are_left_out_to_zero(make: MakeTable) -> None:
    table = with_constants(make)
    table.load(1, {"k": constant_of(7)["k"][0]})
    table.load(2, {"k": constant_of(8)["k"][0], **row_of(5)})
    assert rows_in(table)[:3] == [(0, 100), (0, 7), (5, 8)]


@HOMES
def test_load_refuses_a_state_without_its_constants(make: MakeTable) -> None:
    table = with_constants(make)
    with pytest.raises(ValueError, match=r"constant 'k' is missing; given are \['h', 'n'\]"):
        table.load(1, row_of(7))
    assert rows_in(table)[1] == (10, 101)


@HOMES
def test_zero_sets_constants_too(make: MakeTable) -> None:
    table = with_constants(make)
    table.apply([Move(slot=1)])
    assert rows_in(table)[:3] == [(0, 100), (0, 0), (20, 102)]


@HOMES
def test_apply_copies_constants_unless_the_slot_has_them(make: MakeTable) -> None:
    table = with_constants(make)
    table.apply(
        [
            Move(slot=0, source=1),
            Move(slot=1, source=2, constants=False),
            Move(slot=2, source=0, constants=False),
            Move(slot=3, source=2),
        ]
    )
    assert rows_in(table) == [(10, 101), (20, 101), (0, 102), (20, 102), (40, 104), (50, 105)]


def test_no_run_leaves_a_constant_of_its_own() -> None:
    (block,) = HostStateTable([CONSTANT], 2).blocks(2)
    with pytest.raises(TypeError, match="'k' is a constant"):
        block.bind_output(None, 1)  # it is not looked at


MOVES = st.lists(
    st.tuples(SLOT, st.none() | SLOT, st.sampled_from(["load", "zero"]), st.booleans()),
    min_size=1,
    max_size=SLOTS,
    unique_by=lambda one: one[0],
)


@HOMES
@settings(max_examples=40, deadline=None)
@given(script=st.lists(MOVES, max_size=6))
def test_constants_go_with_their_rows_and_their_numbers_with_them(
    make: MakeTable, script: list[list[tuple[int, int | None, str, bool]]]
) -> None:
    table = with_constants(make)
    expected: list[Row] = [(10.0 * i, 100.0 + i) for i in range(SLOTS)]
    numbered: dict[int, float] = {}
    for number, moves in enumerate(script):
        before, made = list(expected), []
        for slot, source, kind, constants in moves:
            fresh = 1000.0 * (number + 1) + slot
            if source is not None:
                made.append(Move(slot=slot, source=source, constants=constants))
                expected[slot] = (before[source][0], before[source if constants else slot][1])
            elif kind == "zero":
                made.append(Move(slot=slot))
                expected[slot] = (0, 0)
            else:
                state = {"k": constant_of(fresh)["k"][0], **row_of(fresh + 0.0)}
                made.append(Move(slot=slot, state=state))
                expected[slot] = (fresh, fresh)
        table.apply(made)
        assert rows_in(table) == expected
        for one, (_, constant) in zip(
            table.constant_numbers(range(SLOTS)).tolist(), expected, strict=True
        ):
            assert numbered.setdefault(one, constant) == constant


@HOMES
def test_rows_of_one_source_have_its_number(make: MakeTable) -> None:
    table = with_constants(make)
    table.apply(
        [Move(slot=1, source=4), Move(slot=2, source=4), Move(slot=3, source=4, constants=False)]
    )
    first, *others = table.constant_numbers((4, 1, 2, 3)).tolist()
    assert others[:2] == [first, first]
    assert others[2] != first


def test_constants_whose_copy_failed_have_a_number_of_their_own() -> None:
    class Broken(HostStateTable):
        broken = False

        def _copy(self, specs: Sequence[RowSpec], *arguments: Any) -> None:
            super()._copy(specs, *arguments)
            if self.broken and CONSTANT in specs:
                raise MemoryError

    table = with_constants(Broken)
    assert isinstance(table, Broken)
    before = set(table.constant_numbers(range(SLOTS)).tolist())
    table.broken = True
    with pytest.raises(MemoryError):
        table.copy((1,), (2,))
    assert table.constant_numbers((2,))[0] not in before


def test_blocks_of_the_host_begin_at_a_cache_line() -> None:
    table = HostStateTable(SPECS, SLOTS)
    assert [block.value.data_ptr() % 64 for block in table.blocks(3)] == [0, 0]


def test_device_table_names_a_state_whose_rows_it_cannot_move() -> None:
    odd = StateSpec(input="h", output="o", dtype=np.dtype(np.float16), shape=(3,))
    with pytest.raises(ConfigError, match=r"state 'h': a row is 6 bytes of float16; on CPUExec"):
        device_table([odd], 2)


def test_the_graphs_that_move_rows_are_those_that_the_script_writes() -> None:
    stored = {file.name: file.read_bytes() for file in GRAPHS.iterdir()}
    assert stored == row_graphs()
