"""The rules of continuous batching, as a synchronous state machine with an injected time.

Rows join and leave between runs (Yu et al. 2022, "Orca: a distributed serving system for
transformer-based generative models", section 3.1). Whoever drives this asks ``plan`` for work as
long as it gives any, lets the engine do it, and reports with ``apply``, ``settle`` or ``fail``, in
any order. Nothing here waits, looks at a clock or calls the engine. Times are monotonic seconds.
"""

from collections.abc import Sequence
from itertools import accumulate

from serving.errors import DeadlineExceeded, ServingError, ShuttingDown
from serving.slot_lives import Lives
from serving.slot_planning import Planned, PlannedRead, PlannedRun, Planner, SlotRules
from serving.slot_runs import candidates_of, drawn_of
from serving.slot_units import Phase, Reading, RowUnit, SearchUnit, Unit, make_units
from serving.token_scheduler import (
    DecodeRun,
    Floats,
    Ids,
    Job,
    Move,
    PrefillRun,
    RowState,
    RunResult,
)

__all__ = ["Planned", "PlannedRead", "PlannedRun", "SlotRules", "SlotScheduler"]


class SlotScheduler:
    """Rows and beam searches on their way through the slots of one engine."""

    def __init__(self, rules: SlotRules) -> None:
        self._planner = Planner(rules)
        self._lives = Lives(rules, self._planner)

    @property
    def waiting_rows(self) -> int:
        """Rows without a slot."""
        return self._lives.seats.waiting_rows

    @property
    def oldest_waiting(self) -> float | None:
        """When the job came that has waited longest for a slot; None if none waits."""
        return self._lives.oldest

    @property
    def active_rows(self) -> int:
        """Rows with a slot."""
        return self._lives.seats.active_rows

    @property
    def idle(self) -> bool:
        """Whether there is no job, and nothing under way."""
        return not self._lives.units and self._planner.under_way == 0

    def submit(self, jobs: Sequence[Job], now: float) -> None:
        """See ``TokenScheduler.submit``. Raises also InvalidInput, for a search that cannot fit."""
        self._lives.enter(make_units(jobs), now)
        self._lives.admit(now)

    def cancel(self, job: Job) -> None:
        """See ``TokenScheduler.cancel``. Its slots are free at once, or after the run it is in."""
        unit = self._lives.units.get(job)
        if unit is not None:
            self._lives.leave(unit)

    def expire(self, now: float) -> None:
        """Give up the jobs whose time has run out, whether they wait or run."""
        for unit in self._lives.deadlines.pop_due(now):
            self._lives.give_up(
                unit, DeadlineExceeded("Request timeout expired before its text was finished")
            )

    def next_expiry(self) -> float | None:
        """When ``expire`` has something to do next; None if no job has a limit."""
        return self._lives.deadlines.next()

    def give_up_all(self, error: ServingError) -> None:
        """Fail every job."""
        for unit in list(self._lives.units.values()):
            self._lives.give_up(unit, error)

    def plan(self, now: float) -> Planned | None:
        """Work for a free lane; None if there is no free lane or no work.

        Slots that have come free are given to those who wait first.
        """
        self._lives.admit(now)
        return self._planner.plan()

    def apply(self, planned: PlannedRun, result: RunResult, now: float) -> None:
        """The engine has made the run."""
        self._planner.returned(planned)
        for unit in planned.units:
            unit.pending = ()
            unit.alone = False
        if isinstance(planned.run, PrefillRun):
            self._apply_prefill(planned.units, planned.run, result)
        else:
            self._apply_decode(planned.units, planned.run, result, now)

    def settle(self, planned: PlannedRead, states: Sequence[RowState], now: float) -> None:
        """The engine has read the states, one a unit."""
        self._planner.returned(planned)
        for unit, state in zip(planned.units, states, strict=True):
            self._hand_in(unit, state, now)
            self._lives.put_back(unit)

    def fail(self, planned: Planned, error: ServingError) -> None:
        """The engine has failed, and no slot has changed but by moves, which may be repeated.

        The units of the run go on one by one, so that nobody fails by another's fault.
        """
        self._planner.returned(planned)
        units = planned.units
        for unit in units:
            unit.alone = True
        if len(units) == 1 or isinstance(error, ShuttingDown):
            for unit in units:
                self._lives.give_up(unit, error)
        for unit in units:
            unit.running = False
        for unit in reversed(units):
            self._lives.put_back(unit, first=True)

    def abandon(self, planned: Planned, error: ServingError) -> None:
        """What the engine brought back could not be used: give up those who were to have it.

        Their slots are in an unknown state, so nobody inherits them.
        """
        self._planner.returned(planned)
        for unit in planned.units:
            if unit.running:
                members = () if unit.reading is None else tuple(unit.reading.members)
                for member in (*members, unit):
                    self._lives.give_up(member, error)
                self._lives.put_back(unit)

    def _apply_prefill(self, units: Sequence[Unit], run: PrefillRun, result: RunResult) -> None:
        for row, (unit, length) in enumerate(zip(units, run.lengths.tolist(), strict=True)):
            reading = unit.reading
            assert reading is not None
            reading.done += length
            if run.score and result.log_probabilities is not None and length:
                attention = result.attention
                self._score(
                    reading,
                    result.log_probabilities[row, :length],
                    None if attention is None else attention[row, :length],
                )
            finished = reading.finished and unit.phase is not Phase.OVER
            if finished and unit.phase is Phase.REREADING:
                unit.reading, unit.phase = None, Phase.SETTLING
            if finished and unit.phase is Phase.READING:
                unit.running = False
                self._lives.prompt_read(reading)
            else:
                self._lives.put_back(unit)

    def _score(self, reading: Reading, log_probabilities: Floats, attention: Floats | None) -> None:
        """Give the prompt's scores to all who want them."""
        for unit in reading.scorers():
            row = unit.row
            if unit.phase is not Phase.OVER:  # a sink may have ended any of them
                try:
                    row.sink.read(log_probabilities, attention if row.attention else None)
                except Exception:  # noqa: BLE001  logged there; other rows go on
                    self._lives.sink_raised(unit)

    def _apply_decode(
        self, units: Sequence[Unit], run: DecodeRun, result: RunResult, now: float
    ) -> None:
        first_rows = list(accumulate((unit.rows for unit in units[:-1]), initial=0))
        for unit, row in zip(units, first_rows, strict=True):
            if unit.reading is not None and unit.reading.reader is unit:
                self._lives.fork(
                    unit.reading, result.snapshots[row] if row in run.snapshots else None
                )
        for unit, row in zip(units, first_rows, strict=True):
            if unit.phase is not Phase.OVER:
                if isinstance(unit, RowUnit):
                    self._write(unit, row, result, now)
                elif isinstance(unit, SearchUnit):
                    self._branch(unit, row, result, now)
            self._lives.put_back(unit)

    def _write(self, unit: RowUnit, row: int, result: RunResult, now: float) -> None:
        """Give a row what was drawn for it."""
        drawn = drawn_of(result, row, unit.row)
        steps = len(drawn.tokens)
        try:
            taken = unit.row.sink.accept(drawn)
        except Exception:  # noqa: BLE001  logged there; other rows go on
            self._lives.sink_raised(unit)
            return
        if taken is None and steps >= unit.remaining:
            taken = unit.remaining
        unit.written += steps
        if taken is None:
            unit.token = int(drawn.tokens[-1])
        elif not unit.row.keep_state:
            self._lives.finish(unit, now)
        elif unit.phase is not Phase.OVER:
            self._unwind(unit, drawn.tokens, taken, result.snapshots[row], now)

    def _unwind(self, unit: RowUnit, tokens: Ids, taken: int, before: RowState, now: float) -> None:
        """Bring the state of a finished row to where all but its last symbol is read.

        Args:
            unit: the row.
            tokens: of the run in which it ended.
            taken: how many of them belong to it.
            before: its state before that run.
            now: monotonic seconds.
        """
        if taken == 0:
            self._hand_in(unit, before, now)
            return
        to_read = (unit.token, *tokens[: taken - 1].tolist())
        unit.token = int(tokens[taken - 1])
        if taken == len(tokens):
            unit.phase = Phase.SETTLING
        else:
            unit.phase = Phase.REREADING
            unit.pending = (Move(slot=unit.slots[0], state=before),)
            unit.reading = Reading(symbols=to_read, members={}, reader=unit)

    def _hand_in(self, unit: Unit, state: RowState, now: float) -> None:
        """Give a row its state, the last that it hears."""
        if not isinstance(unit, RowUnit) or unit.phase is Phase.OVER:
            return
        try:
            unit.row.sink.settled(state, unit.token)
        except Exception:  # noqa: BLE001  logged there; other rows go on
            self._lives.sink_raised(unit)
        self._lives.finish(unit, now)

    def _branch(self, unit: SearchUnit, row: int, result: RunResult, now: float) -> None:
        """Let a search choose its next beams."""
        search = unit.search
        candidates = candidates_of(result, slice(row, row + unit.rows), search)
        try:
            beams = search.sink.choose(*candidates)
            if beams is not None:
                unit.branch(beams)
        except Exception:  # noqa: BLE001  logged there; other rows go on
            self._lives.sink_raised(unit)
            return
        if beams is None:
            self._lives.finish(unit, now)
