"""From units to the arrays of a run, and from its results to what each row gets."""

from collections.abc import Sequence

import numpy as np

from quartet.philox import uniforms
from serving.generation_types import Sampling
from serving.slot_units import Reading, RowUnit, SearchUnit, Unit
from serving.token_scheduler import (
    DecodeRun,
    Drawn,
    Floats,
    Ids,
    Move,
    PrefillRun,
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
    )


def decode_run(units: Sequence[Unit], steps: int) -> DecodeRun:
    """Take each of ``units`` further: ``steps`` steps, or fewer if none wants so many.

    Searches choose after every step, so a run that has any makes one. Units that follow another are
    forked from it, which must be among ``units``.
    """
    slots: list[int] = []
    tokens: list[int] = []
    sampling: list[Sampling] = []
    alternatives: list[int] = []
    places: list[tuple[int, int, int]] = []
    snapshots: list[int] = []
    longest = 1
    for unit in units:
        if isinstance(unit, RowUnit):
            row = unit.row
            if row.keep_state or _leaves_members_behind(unit):
                snapshots.append(len(slots))
            slots.append(unit.slots[0])
            tokens.append(unit.token)
            sampling.append(row.sampling)
            alternatives.append(row.alternatives)
            places.append((row.seed, row.stream, row.position + unit.written))
            longest = max(longest, unit.remaining)
        elif isinstance(unit, SearchUnit):
            slots.extend(unit.slots[: unit.rows])
            tokens.extend(unit.tokens)
            sampling.extend([_GREEDY] * unit.rows)
            alternatives.extend([unit.alternatives] * unit.rows)
            places.extend([(0, 0, 0)] * unit.rows)
            steps = 1
    seeds, streams, positions = zip(*places, strict=True)
    return DecodeRun(
        moves=_pending_moves(units),
        slots=tuple(slots),
        token=np.array(tokens, np.int64),
        sampling=tuple(sampling),
        alternatives=np.array(alternatives, np.int64),
        uniform=uniforms(
            np.array(seeds, np.uint64),
            np.array(streams, np.int64),
            np.array(positions, np.int64),
            min(steps, longest),
        ),
        snapshots=tuple(snapshots),
    )


def drawn_of(result: RunResult, row: int, alternatives: int) -> Drawn:
    """One row's part of a decode run, as views. Raises ValueError if the engine left it out."""
    if result.tokens is None or result.log_probabilities is None:
        raise ValueError("the engine brought no symbols from a decode run")
    tokens = result.tokens[row]
    if alternatives:
        top_tokens, top_log_probabilities = _top(result)
        top_tokens = top_tokens[row, :, :alternatives]
        top_log_probabilities = top_log_probabilities[row, :, :alternatives]
    else:
        top_tokens = np.zeros((len(tokens), 0), np.int64)
        top_log_probabilities = np.zeros((len(tokens), 0), np.float32)
    return Drawn(
        tokens=tokens,
        log_probabilities=result.log_probabilities[row],
        top_tokens=top_tokens,
        top_log_probabilities=top_log_probabilities,
    )


def candidates_of(result: RunResult, rows: slice, top: int) -> tuple[Ids, Floats]:
    """What each of some rows may go on with after a run of one step.

    Returns:
        The ``top`` likeliest symbols [rows, top], and their log-probabilities.

    Raises:
        ValueError: the engine left them out.
    """
    top_tokens, top_log_probabilities = _top(result)
    return top_tokens[rows, 0, :top], top_log_probabilities[rows, 0, :top]


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
