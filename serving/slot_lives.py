"""How units come to their state, pass it on, and leave: admission, shared prompts, ends."""

import logging
from collections.abc import Sequence

import numpy as np

from serving.deadlines import Deadlines
from serving.errors import InferenceFailed, QueueFull, ServingError
from serving.slot_planning import Planner, SlotRules
from serving.slot_seats import Seats
from serving.slot_units import Phase, Reading, RowUnit, Unit
from serving.token_scheduler import Drawn, Job, Move, RowState

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0
"""What a client is told to wait when the queue is full and no text has ended yet."""

SLOT_TIME_WINDOW = 16
"""Texts over which the time that one holds its slot is averaged."""

_NO_TOKENS = np.zeros(0, np.int64)
_NO_FLOATS = np.zeros(0, np.float32)
NOTHING_DRAWN = Drawn(
    tokens=_NO_TOKENS,
    log_probabilities=_NO_FLOATS,
    top_tokens=_NO_TOKENS.reshape(0, 0),
    top_log_probabilities=_NO_FLOATS.reshape(0, 0),
)
"""For rows that only read their prompt."""


class Lives:
    """Every unit from its arrival to its end."""

    def __init__(self, rules: SlotRules, planner: Planner) -> None:
        self.seats = Seats(rules.slots, rules.max_waiting_rows, rules.widest_run)
        self.deadlines: Deadlines[Unit] = Deadlines()
        self.units: dict[Job, Unit] = {}
        """Whose sinks are yet to hear something."""
        self._planner = planner
        self._slots = rules.slots
        self._slot_s = 0.0
        """How long a text holds its slot, a moving average."""

    @property
    def oldest(self) -> float | None:
        """When the unit was submitted that has waited longest for a slot; None if none waits."""
        # They are in the order in which they came.
        waiting = (unit for unit in self.units.values() if unit.phase is Phase.WAITING)
        return next((unit.entered for unit in waiting), None)

    def enter(self, units: Sequence[Unit], now: float) -> None:
        """Let the units of one request wait, all or none. Raises QueueFull, InvalidInput."""
        try:
            self.seats.enqueue(units)
        except QueueFull as error:
            drain_s = self.seats.waiting_rows * self._slot_s / self._slots
            error.retry_after_s = drain_s if self._slot_s else RETRY_AFTER_S
            raise
        for unit in units:
            unit.entered = now
            self.units[unit.job] = unit
            if unit.job.deadline is not None:
                self.deadlines.add(unit, unit.job.deadline)

    def admit(self, now: float) -> None:
        """Give out the slots that are free."""
        for unit in self.seats.admit():
            if unit.phase is Phase.WAITING:
                unit.admitted = now
                self._start(unit)
            elif unit.phase is Phase.WRITING:
                # A search that had read its prompt in its first slot now has all of them.
                self._planner.ready(unit)

    def put_back(self, unit: Unit, *, first: bool = False) -> None:
        """The run that had ``unit`` is over: let it stand in line again, or leave."""
        unit.running = False
        if unit.phase is Phase.OVER:
            self._vacate(unit)
        elif unit.phase is not Phase.FOLLOWING:
            self._planner.ready(unit, first=first)

    def prompt_read(self, reading: Reading) -> None:
        """All of a prompt is in the slot of its reader."""
        reader = reading.reader
        assert reader is not None
        if len(reading.members) == 1:
            reader.reading = None
        if isinstance(reader, RowUnit) and reader.row.max_tokens == 0:
            # The reader comes last, or else each of the others would inherit its slot in turn.
            for member in [unit for unit in reading.members if unit is not reader]:
                self._end_unwritten(member)
            self._end_unwritten(reader)
        else:
            self._write(reader)

    def fork(self, reading: Reading, state: RowState | None) -> None:
        """The reader has taken its first step, and the members in its run have been forked.

        Args:
            reading: what was read.
            state: after it; None if no member was left behind.
        """
        reading.reader, reading.state = None, state
        for member in list(reading.members):
            if member.running:
                self._part(member)
                if member.phase is Phase.FOLLOWING:
                    member.phase = Phase.WRITING
            elif member.phase is Phase.FOLLOWING:
                self._start(member)

    def finish(self, unit: Unit, now: float) -> None:
        """A unit has come to its end by itself."""
        self._slot_s += (now - unit.admitted - self._slot_s) / SLOT_TIME_WINDOW
        self.leave(unit)

    def leave(self, unit: Unit) -> None:
        """Let the sink hear nothing more, and free the slots as soon as no run has them."""
        if unit.phase is Phase.OVER:
            return
        del self.units[unit.job]
        self.deadlines.discard(unit)
        unit.phase = Phase.OVER
        if not unit.running:
            self._vacate(unit)

    def give_up(self, unit: Unit, error: ServingError) -> None:
        """End a unit with ``error``."""
        if unit.phase is Phase.OVER:
            return
        self.leave(unit)
        try:
            unit.job.sink.failed(error)
        except Exception:
            logger.exception("a sink raised when told of a failure")

    def sink_raised(self, unit: Unit) -> None:
        """Give up a unit whose sink has just raised."""
        logger.exception("a sink raised; its text is given up")
        self.give_up(unit, InferenceFailed("the text could not be assembled; see the server's log"))

    def _start(self, unit: Unit) -> None:
        """A unit has a slot: let it read its prompt, or fork it from who has."""
        reading = unit.reading
        if reading is None:
            self._load(unit, unit.state)
            self._write(unit)
        elif reading.state is not None:
            self._part(unit)
            self._load(unit, reading.state)
            self._write(unit)
        elif reading.reader is None:
            reading.reader = unit
            self._load(unit, unit.state)
            unit.phase = Phase.READING
            self._planner.ready(unit)
        else:
            unit.phase = Phase.FOLLOWING

    def _load(self, unit: Unit, state: RowState | None) -> None:
        unit.pending = (Move(slot=unit.slots[0], state=state),)

    def _write(self, unit: Unit) -> None:
        """Let a unit whose state is in its slot take steps."""
        unit.phase = Phase.WRITING
        if isinstance(unit, RowUnit) and unit.row.max_tokens == 0:
            self._end_unwritten(unit)
        elif unit.seated:
            self._planner.ready(unit)

    def _end_unwritten(self, unit: Unit) -> None:
        """End a row that wants no symbols."""
        assert isinstance(unit, RowUnit)
        try:
            unit.row.sink.accept(NOTHING_DRAWN)
        except Exception:  # noqa: BLE001  logged there; other rows go on
            self.sink_raised(unit)
        if not unit.row.keep_state:
            self.leave(unit)
        elif unit.phase is not Phase.OVER:
            # There is nothing to read again, but a state that is pending gets into the slot.
            unit.reading = Reading(symbols=(), members={}, reader=unit)
            unit.phase = Phase.REREADING
            self._planner.ready(unit)

    def _part(self, unit: Unit) -> None:
        """A unit needs no more of what it read."""
        if unit.reading is not None:
            unit.reading.members.pop(unit, None)
            unit.reading = None

    def _vacate(self, unit: Unit) -> None:
        """Free the slots of a unit that is over; what it was reading for others goes to an heir."""
        self._planner.forget(unit)
        reading = unit.reading
        self._part(unit)
        if reading is not None and reading.reader is unit:
            self._pass_on(unit, reading)
        self.seats.leave(unit)

    def _pass_on(self, unit: Unit, reading: Reading) -> None:
        """Let another member have the reader's slot, with what is in it."""
        heir = reading.reader = reading.heir()
        if heir is None:
            return
        if not heir.slots:
            self.seats.leave(heir)
            heir.admitted = unit.admitted
        heir.slots, unit.slots = unit.slots, heir.slots
        heir.pending = unit.pending
        heir.phase = Phase.READING
        if reading.finished:
            self.prompt_read(reading)
        else:
            self._planner.ready(heir)
