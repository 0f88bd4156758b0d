"""Which run a free lane makes next, and of which units.

What is ready stands in lines, one for each kind of work; within a line, who has waited longest goes
first. Kinds take turns: the one that was planned longest ago goes first. So a text that is being
written waits for at most one run that reads prompts, and prompts wait for at most one run of texts.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import IntEnum, auto

from serving.slot_runs import decode_run, prefill_run
from serving.slot_units import Phase, RowUnit, Unit
from serving.token_scheduler import Move, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRules:
    """How rows share the engine."""

    slots: int
    """Rows that have a state in the engine's table, >= 1."""
    lanes: int = 1
    """Runs at once, >= 1; worker threads that may work for this model."""
    steps: int = 16
    """Symbols K that each row writes in one run, >= 1."""
    prefill_chunk: int = 64
    """Symbols of a prompt that are read in one run, >= 1."""
    prefill_rows: int = 16
    """Prompts that are read in one run, >= 1. More would be read hardly faster, and texts that are
    being written would wait longer."""
    max_waiting_rows: int = 1024
    """Rows that may wait for a slot."""
    max_rows: int | None = None
    """Rows of one run, >= 1; None: all slots."""

    @property
    def widest_run(self) -> int:
        """Rows of one run."""
        return self.slots if self.max_rows is None else min(self.slots, self.max_rows)


class Work(IntEnum):
    """Kinds of work of a lane."""

    SETTLE = auto()
    """Read states out of their slots."""
    PREFILL = auto()
    DECODE = auto()
    SEARCH = auto()
    """Decode beams, which choose after every step."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedRun:
    """A run, and whom it is for."""

    work: Work
    units: tuple[Unit, ...]
    """In the order of the run's rows."""
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedRead:
    """States to be read out of their slots (``StepEngine.read_state``)."""

    units: tuple[Unit, ...]
    slots: tuple[int, ...]
    """One a unit."""
    work: Work = Work.SETTLE


Planned = PlannedRun | PlannedRead


class Planner:
    """The units that are ready, and the runs under way."""

    def __init__(self, rules: SlotRules) -> None:
        self._rules = rules
        self._lines: dict[Work, OrderedDict[Unit, None]] = {work: OrderedDict() for work in Work}
        self._turns = [Work.PREFILL, Work.DECODE, Work.SEARCH]
        """Planned longest ago first."""
        self._under_way: set[Planned] = set()
        self._runs = dict.fromkeys(Work, 0)
        """Under way, by kind."""
        self._units_out = dict.fromkeys(Work, 0)
        """Units in those, by the line that they came from; searches, which are not divided among
        lanes, are not counted."""

    @property
    def under_way(self) -> int:
        """Runs and readings of states under way."""
        return len(self._under_way)

    def ready(self, unit: Unit, *, first: bool = False) -> None:
        """Let ``unit`` stand in the line of its phase, at the end or ``first``."""
        line = self._lines[_work_of(unit)]
        line[unit] = None
        if first:
            line.move_to_end(unit, last=False)

    def forget(self, unit: Unit) -> None:
        """Take ``unit`` out of its line, if it stands in one."""
        for line in self._lines.values():
            line.pop(unit, None)

    def plan(self) -> Planned | None:
        """Work for a free lane; None if there is no lane or no work. Its units are ``running``."""
        if self.under_way >= self._rules.lanes:
            return None
        work = self._choose()
        if work is None:
            return None
        units = tuple(self._take(work))
        for unit in units:
            unit.running = True
        planned = self._build(work, units)
        self._under_way.add(planned)
        self._runs[work] += 1
        shared, count = _sharers(planned)
        self._units_out[shared] += count
        return planned

    def returned(self, planned: Planned) -> None:
        """What was planned is done, or has failed; its lane is free. Told twice, once counts."""
        if planned in self._under_way:
            self._under_way.remove(planned)
            self._runs[planned.work] -= 1
            shared, count = _sharers(planned)
            self._units_out[shared] -= count

    def _build(self, work: Work, units: tuple[Unit, ...]) -> Planned:
        if work is Work.SETTLE:
            return PlannedRead(units=units, slots=tuple(unit.slots[0] for unit in units))
        if work is Work.PREFILL:
            run: Run = prefill_run(units, self._rules.prefill_chunk)
        else:
            run = decode_run(units, self._rules.steps)
        return PlannedRun(work=work, units=units, run=run)

    def _choose(self) -> Work | None:
        if self._lines[Work.SETTLE]:
            return Work.SETTLE
        for work in self._turns:
            if self._lines[work] and (work is not Work.PREFILL or self._may_prefill()):
                self._turns.remove(work)
                self._turns.append(work)
                return work
        return None

    def _may_prefill(self) -> bool:
        """While texts are being written, one of several lanes is theirs."""
        return self._runs[Work.PREFILL] < self._prefill_lanes()

    def _prefill_lanes(self) -> int:
        writing = any(self._lines[w] or self._runs[w] for w in (Work.DECODE, Work.SEARCH))
        return max(1, self._rules.lanes - 1) if writing else self._rules.lanes

    def _take(self, work: Work) -> list[Unit]:
        """Who goes along."""
        units: list[Unit] = []
        if work is Work.SETTLE:
            self._extend(units, work, self._rules.slots)
        elif work is Work.PREFILL:
            most = min(self._rules.prefill_rows, self._rules.widest_run)
            self._extend(units, work, min(self._share(work, self._prefill_lanes()), most))
        else:
            self._extend_decode(units, work)
            if self._rules.steps == 1:
                # All runs make one step then, so texts and beams may share them.
                self._extend_decode(units, Work.SEARCH if work is Work.DECODE else Work.DECODE)
            self._add_followers(units)
        return units

    def _share(self, work: Work, lanes: int) -> int:
        """Units of one run, where ``lanes`` divide what there is, those that are out included."""
        return -(-(len(self._lines[work]) + self._units_out[work]) // lanes)

    def _extend_decode(self, units: list[Unit], work: Work) -> None:
        """Add a lane's share of the texts, or all searches, as far as there is room."""
        most = self._rules.widest_run
        if work is Work.DECODE:
            rows = sum(unit.rows for unit in units)
            most = min(most, rows + self._share(work, self._rules.lanes))
        self._extend(units, work, most)

    def _extend(self, units: list[Unit], work: Work, most: int) -> None:
        """Add the first of a line until there are ``most`` rows; one that must be alone is."""
        line = self._lines[work]
        rows = sum(unit.rows for unit in units)
        while line and not (units and units[0].alone):
            unit = next(iter(line))
            rows += unit.rows
            if units and (rows > most or unit.alone):
                return
            del line[unit]
            units.append(unit)

    def _add_followers(self, units: list[Unit]) -> None:
        """Add the rows that fork from units which take their first step, as far as there is room.

        Those that find none start from a copy of the state (see ``Reading``).
        """
        readings = [unit.reading for unit in units if unit.reading is not None and not unit.alone]
        room = self._rules.widest_run - sum(unit.rows for unit in units)
        for reading in readings:
            assert reading.reader is not None
            source = reading.reader.slots[0]
            for follower in reading.followers()[:room]:
                follower.pending = (Move(slot=follower.slots[0], source=source),)
                units.append(follower)
                room -= 1


def _sharers(planned: Planned) -> tuple[Work, int]:
    """Whose line is divided among lanes, and how many of it are in ``planned``."""
    if planned.work in (Work.DECODE, Work.SEARCH):
        return Work.DECODE, sum(isinstance(unit, RowUnit) for unit in planned.units)
    return planned.work, len(planned.units)


def _work_of(unit: Unit) -> Work:
    if unit.phase is Phase.SETTLING:
        return Work.SETTLE
    if unit.phase in (Phase.READING, Phase.REREADING):
        return Work.PREFILL
    return Work.DECODE if isinstance(unit, RowUnit) else Work.SEARCH
