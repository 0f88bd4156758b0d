"""From units to the arrays of a run, and from its results to what each row gets."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from quartet.philox import uniforms
from serving.generation_types import Sampling
from serving.slot_units import Reading, RowUnit, SearchUnit, Unit
from serving.token_scheduler import (
    BeamSearch,
    DecodeRun,
    Drawn,
    Floats,
    Ids,
    Move,
    PrefillRun,
    Row,
    RunResult,
)

_GREEDY = Sampling(temperature=0.0)
"""Beams draw nothing that counts: their searches choose among the alternatives."""


def prefill_run(units: Sequence[Unit], chunk: int) -> PrefillRun:
    """Let each of ``units`` read on, ``chunk`` symbols at most."""
    readings = [_reading_of(unit) for unit in units]
    parts = [reading.chunk(chunk) for reading in readings]
    # A unit may have nothing to read, and come for its pending moves alone.
    longest = max(1, *map(len, parts))
    tokens = np.zeros((len(units), longest), np.int64)
    for row, part in zip(tokens, parts, strict=True):
        row[: len(part)] = part
    return PrefillRun(
        moves=_pending_moves(units),
        slots=tuple(unit.slots[0] for unit in units),
        tokens=tokens,
        lengths=np.array([len(part) for part in parts], np.int64),
        score=any(reading.scored for reading in readings),
        attention=any(reading.attended for reading in readings),
    )


def decode_run(units: Sequence[Unit], steps: int) -> DecodeRun:
    """Take each of ``units`` further: ``steps`` steps, or fewer if none wants so many.

    Searches choose after every step, so a run that has any makes one. Units that follow another are
    forked from it, which must be among ``units``.
    """
    lines = [line for unit in units for line in _lines_of(unit)]
    slots, tokens, sampling, alternatives, minimum, places, snapshot = zip(*lines, strict=True)
    seeds, streams, positions = zip(*places, strict=True)
    return DecodeRun(
        moves=_pending_moves(units),
        slots=slots,
        token=np.array(tokens, np.int64),
        sampling=sampling,
        alternatives=np.array(alternatives, np.int64),
        uniform=uniforms(
            np.array(seeds, np.uint64),
            np.array(streams, np.int64),
            np.array(positions, np.int64),
            _steps_of(units, steps),
        ),
        minimum=np.array(minimum, np.int64) if any(minimum) else None,
        attention=any(unit.job.attention for unit in units),
        snapshots=tuple(row for row, wanted in enumerate(snapshot) if wanted),
    )


class _Line(NamedTuple):
    """One row of a decode run."""

    slot: int
    token: int
    sampling: Sampling
    alternatives: int
    minimum: int
    """Steps without stop symbols."""
    place: tuple[int, int, int]
    """Seed, stream and position of its first random number."""
    snapshot: bool
    """Whether its state before the run is wanted."""


def _lines_of(unit: Unit) -> Iterator[_Line]:
    if isinstance(unit, RowUnit):
        row = unit.row
        yield _Line(
            slot=unit.slots[0],
            token=unit.token,
            sampling=row.sampling,
            alternatives=row.alternatives,
            minimum=max(0, row.min_tokens - unit.written),
            place=(row.seed, row.stream, row.position + unit.written),
            snapshot=row.keep_state or _leaves_members_behind(unit),
        )
    elif isinstance(unit, SearchUnit):
        top = unit.search.top
        for slot, token in zip(unit.slots, unit.tokens, strict=False):
            yield _Line(slot, token, _GREEDY, top, minimum=0, place=(0, 0, 0), snapshot=False)


def _steps_of(units: Sequence[Unit], steps: int) -> int:
    """``steps``, or how many the longest of ``units`` wants."""
    longest = 1
    for unit in units:
        if isinstance(unit, SearchUnit):
            return 1
        if isinstance(unit, RowUnit):
            longest = max(longest, unit.remaining)
    return min(steps, longest)


def drawn_of(result: RunResult, row: int, wanted: Row) -> Drawn:
    """One row's part of a decode run, as views. Raises ValueError if the engine left it out."""
    if result.tokens is None or result.log_probabilities is None:
        raise ValueError("the engine brought no symbols from a decode run")
    tokens, alternatives = result.tokens[row], wanted.alternatives
    if alternatives:
        top_tokens, top_log_probabilities = _top(result)
        top_tokens = top_tokens[row, :, :alternatives]
        top_log_probabilities = top_log_probabilities[row, :, :alternatives]
    else:
        top_tokens = np.zeros((len(tokens), 0), np.int64)
        top_log_probabilities = np.zeros((len(tokens), 0), np.float32)
    attention = result.attention if wanted.attention else None
    return Drawn(
        tokens=tokens,
        log_probabilities=result.log_probabilities[row],
        top_tokens=top_tokens,
        top_log_probabilities=top_log_probabilities,
        attention=None if attention is None else attention[row],
    )


def candidates_of(
    result: RunResult, rows: slice, search: BeamSearch
) -> tuple[Ids, Floats, Floats | None]:
    """What each of some rows may go on with after a run of one step.

    Returns:
        The likeliest symbols [rows, top], their log-probabilities, and the attention [rows, places]
        if ``search`` wants it and there is any.

    Raises:
        ValueError: the engine left them out.
    """
    tokens, log_probabilities = _top(result)
    attention = result.attention if search.attention else None
    return (
        tokens[rows, 0, : search.top],
        log_probabilities[rows, 0, : search.top],
        None if attention is None else attention[rows, 0],
    )


def _top(result: RunResult) -> tuple[Ids, Floats]:
    if result.top_tokens is None or result.top_log_probabilities is None:
        raise ValueError("the engine brought no alternatives from a decode run that wanted some")
    return result.top_tokens, result.top_log_probabilities


def _pending_moves(units: Sequence[Unit]) -> tuple[Move, ...]:
    return tuple(move for unit in units for move in unit.pending)


def _leaves_members_behind(unit: Unit) -> bool:
    """Whether ``unit`` steps on from a prompt that others, not in this run, will begin with."""
    reading = unit.reading
    return (
        reading is not None
        and reading.reader is unit
        and any(not member.running for member in reading.members)
    )


def _reading_of(unit: Unit) -> Reading:
    if unit.reading is None:
        raise RuntimeError(f"a unit that is {unit.phase.name} has nothing to read")
    return unit.reading
