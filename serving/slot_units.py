"""What the scheduler of rows knows of each job: where it stands, and what its slots hold."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from quartet.beam_search import Beams
from serving.token_scheduler import BeamSearch, Job, Move, Row, RowState


class Phase(Enum):
    """Where a job stands."""

    WAITING = auto()
    """It has no slot."""
    READING = auto()
    """It reads its prompt."""
    FOLLOWING = auto()
    """It has a slot, and another row of its request reads the prompt for both."""
    WRITING = auto()
    """Its prompt is read, and symbols are drawn."""
    REREADING = auto()
    """Its text is done and its state, gone past the end, is made again."""
    SETTLING = auto()
    """Its text is done, and its state is to be read out of the slot."""
    OVER = auto()
    """Its sink hears nothing more. If a run still has it, its slots are free after that."""


@dataclass(eq=False, slots=True)
class Unit(ABC):
    """A job in the scheduler: one row, or the rows of one beam search."""

    client: str
    width: int
    """Slots that it needs."""
    prompt: tuple[int, ...]
    state: RowState | None
    """To begin with; None: zeros."""
    phase: Phase = field(default=Phase.WAITING, init=False)
    slots: list[int] = field(default_factory=list, init=False)
    pending: tuple[Move, ...] = field(default=(), init=False)
    """Moves that belong before its next run. They stay until a run has succeeded: their sources are
    never among their targets, so a run that failed after them may be repeated with them."""
    reading: "Reading | None" = field(default=None, init=False)
    """What it reads; None once that is in its slot."""
    running: bool = field(default=False, init=False)
    """A run, or a reading of its state, has it."""
    alone: bool = field(default=False, init=False)
    """It was in a run that failed, and shares none until it has proved harmless."""
    entered: float = field(default=0.0, init=False)
    """When it was submitted, monotonic."""
    admitted: float = field(default=0.0, init=False)
    """When it got its first slot, monotonic."""

    @property
    @abstractmethod
    def job(self) -> Job:
        """As it was submitted."""

    @property
    def seated(self) -> bool:
        """Whether it has all its slots."""
        return len(self.slots) == self.width

    @property
    @abstractmethod
    def rows(self) -> int:
        """Rows that it has in its next decode run."""


@dataclass(eq=False, slots=True)
class RowUnit(Unit):
    """One text."""

    row: Row
    token: int = field(init=False)
    """Last symbol, not read yet."""
    written: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.token = self.prompt[-1]

    @property
    def job(self) -> Job:
        """As it was submitted."""
        return self.row

    @property
    def rows(self) -> int:
        """One."""
        return 1

    @property
    def remaining(self) -> int:
        """Symbols that it may still write."""
        return self.row.max_tokens - self.written


@dataclass(eq=False, slots=True)
class SearchUnit(Unit):
    """One beam search. Beam i lives in ``slots[i]``; the slots behind the beams are unused."""

    search: BeamSearch
    tokens: tuple[int, ...] = field(init=False)
    """Last symbol of each live beam, not read yet."""
    _furnished: set[int] = field(default_factory=set, init=False)
    """Slots that hold the search's constants."""

    def __post_init__(self) -> None:
        self.tokens = self.prompt[-1:]

    @property
    def job(self) -> Job:
        """As it was submitted."""
        return self.search

    @property
    def rows(self) -> int:
        """One a live beam."""
        return len(self.tokens)

    def branch(self, beams: Beams) -> None:
        """Let ``beams`` live on, after a run that took all live beams one step.

        The first beam that extends a parent stays in its slot; each further one gets the slot of a
        beam that died, or an unused one. So no slot is both read and written.

        Raises:
            ValueError: there are none or too many, or a parent does not exist.
        """
        parents, tokens = beams.parents, beams.tokens
        if not 0 < len(parents) == len(tokens) <= self.width:
            raise ValueError(
                f"a search of width {self.width} goes on with {len(parents)} parents and "
                f"{len(tokens)} symbols"
            )
        if not all(0 <= parent < self.rows for parent in parents):
            raise ValueError(f"beams {parents} are extended, but {self.rows} live")
        # Only now is it known that the moves of that run were made.
        self._furnished.update(self.slots[: self.rows])
        extended = {self.slots[parent] for parent in parents}
        unused = [slot for slot in self.slots if slot not in extended]
        places, moves = [], []
        for parent in parents:
            source = self.slots[parent]
            if source in extended:
                extended.remove(source)
                places.append(source)
            else:
                places.append(slot := unused.pop())
                constants = slot not in self._furnished
                moves.append(Move(slot=slot, source=source, constants=constants))
        self.slots = places + unused
        self.tokens = tokens
        self.pending = tuple(moves)


@dataclass(eq=False, slots=True)
class Reading:
    """Symbols to be read, by one unit for all that begin with them.

    While it is under way, and until the reader takes its first step, the state is in the reader's
    slot. The step takes along the members that have slots; for those that come later the engine
    keeps a copy of the state before it.
    """

    symbols: tuple[int, ...]
    members: dict[Unit, None]
    """Those that still need what was read, the reader among them; in order."""
    reader: Unit | None = None
    """None before anyone has a slot, and once ``state`` is there."""
    done: int = 0
    """Symbols read."""
    state: RowState | None = None
    """After all of them."""

    @property
    def finished(self) -> bool:
        """Whether all symbols are read."""
        return self.done == len(self.symbols)

    @property
    def scored(self) -> bool:
        """Whether anyone wants the log-probabilities."""
        return bool(self.scorers())

    @property
    def attended(self) -> bool:
        """Whether anyone wants the attention."""
        return any(unit.row.attention for unit in self.scorers())

    def scorers(self) -> list["RowUnit"]:
        """Members that want to know what the model thinks of the prompt."""
        return [
            unit
            for unit in self.members
            if isinstance(unit, RowUnit) and unit.row.score_prompt and unit.phase is not Phase.OVER
        ]

    def chunk(self, size: int) -> tuple[int, ...]:
        """The next symbols, at most ``size``."""
        return self.symbols[self.done : self.done + size]

    def followers(self) -> list[Unit]:
        """Members that have a slot and wait for the reader."""
        return [unit for unit in self.members if unit.phase is Phase.FOLLOWING]

    def heir(self) -> Unit | None:
        """Who goes on in place of the reader: one that has a slot rather than one that waits."""
        waiting = [unit for unit in self.members if unit.phase is Phase.WAITING]
        return next(iter(self.followers() + waiting), None)


def make_units(jobs: Iterable[Job]) -> list[Unit]:
    """The units of one request; rows that begin alike share one reading.

    Raises:
        ValueError: a job is none, for instance without a prompt.
    """
    units: list[Unit] = []
    shared: dict[tuple[tuple[int, ...], int, bool], Reading] = {}
    for job in jobs:
        unit = _make_unit(job)
        units.append(unit)
        if len(job.prompt) > 1:
            # A state is compared by identity: those of one request are one object.
            key = (job.prompt, id(job.state), isinstance(job, Row) and job.max_tokens == 0)
            reading = shared.get(key) if _may_share(job) else None
            if reading is None:
                reading = Reading(symbols=job.prompt[:-1], members={})
                if _may_share(job):
                    shared[key] = reading
            reading.members[unit] = None
            unit.reading = reading
    return units


def _make_unit(job: Job) -> Unit:
    if not job.prompt:
        raise ValueError("a prompt has at least one symbol")
    if isinstance(job, Row):
        if not (0 <= job.seed < 2**64 and 0 <= job.stream < 2**32 and 0 <= job.position < 2**63):
            raise ValueError(
                f"no random numbers at seed {job.seed}, stream {job.stream}, place {job.position}"
            )
        return RowUnit(client=job.client, width=1, prompt=job.prompt, state=job.state, row=job)
    if job.width < 1 or job.top < 1:
        raise ValueError(f"a search of {job.width} beams, {job.top} candidates each")
    return SearchUnit(
        client=job.client, width=job.width, prompt=job.prompt, state=job.state, search=job
    )


def _may_share(job: Job) -> bool:
    """Whether others may fork from what ``job`` reads.

    Not from a search, whose first step is a run of another kind, nor from a row that gives its
    state back without a step.
    """
    return isinstance(job, Row) and not (job.keep_state and job.max_tokens == 0)
