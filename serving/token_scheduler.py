"""What a scheduler of recurrent generators is: rows of hidden state that share runs of the engine.

A row is one text being written: its state lives in one slot of a table beside the engine. A run
takes some rows K steps further (decode) or lets them read parts of their prompts (prefill). Rows
join and leave between runs. Everything here is about symbols' ids; text is the sinks' business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from quartet.beam_search import Beams
from serving.errors import ServingError
from serving.generation_types import Sampling
from serving.types import Array

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
RowState = Mapping[str, Array]
"""State or constant input name -> that of one row, without the batch axis. Of a model with
constants it has them all when a row begins; states that are left out begin at zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What one run made for one row, not yet cut at where the row ends."""

    tokens: Ids
    """[steps]."""
    log_probabilities: Floats
    """[steps], nats."""
    top_tokens: Ids
    """[steps, top]; [steps, 0] if the row asked for none."""
    top_log_probabilities: Floats
    """[steps, top], as ``top_tokens``."""
    attention: Floats | None = None
    """[steps, places]; None if the row asked for none or the model has none."""


class RowSink(Protocol):
    """Where a row's symbols go. Called on the event loop, and must not block or raise."""

    def read(self, log_probabilities: Floats, attention: Floats | None) -> None:
        """A part of the prompt was read; only if the row wants its scores.

        Args:
            log_probabilities: [symbols read, vocabulary], of the symbol after each one read.
            attention: [symbols read, places]; None as in ``Drawn``.
        """
        ...

    def accept(self, drawn: Drawn) -> int | None:
        """Symbols were drawn; or none, once, when a row of ``max_tokens`` 0 has read its prompt.

        Returns:
            None to go on; else the text is finished and this many of the symbols belong to it
            (those that a stop string took along included).
        """
        ...

    def settled(self, state: RowState, token: int) -> None:
        """The row is over; only for rows that keep their state, a while after ``accept`` ended it.

        All of the text but its last symbol, ``token``, has been read into ``state``.
        """
        ...

    def failed(self, error: ServingError) -> None:
        """The row was given up: engine fault, deadline, or shutdown. Nothing follows."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """One text to be written, as the scheduler takes it."""

    sink: RowSink
    prompt: tuple[int, ...]
    """Symbols to read, at least one; the last is the first input of decode."""
    sampling: Sampling
    max_tokens: int
    """Symbols to write at most, >= 0; 0 only reads the prompt (all but its last symbol)."""
    min_tokens: int = 0
    """Symbols before which the model's stop symbols cannot be drawn."""
    seed: int
    """Of the row's random numbers, 0 .. 2**64 - 1."""
    stream: int = 0
    """Which of the texts of that seed; each has random numbers of its own."""
    position: int = 0
    """Number of the first random number: symbols written before, for a continued text."""
    state: RowState | None = None
    """State to begin with; None: zeros."""
    keep_state: bool = False
    """Give the state back at the end (``RowSink.settled``)."""
    alternatives: int = 0
    """Likeliest symbols wanted at each step."""
    attention: bool = False
    """Whether it is wanted, of the prompt too if that is scored."""
    score_prompt: bool = False
    """Call ``RowSink.read``."""
    client: str = ""
    """Rows of different clients take turns."""
    deadline: float | None = None
    """Monotonic time at which the row is given up."""


class BeamSink(Protocol):
    """Decides where the rows of one beam search go. Called on the event loop."""

    def choose(
        self, top_tokens: Ids, top_log_probabilities: Floats, attention: Floats | None
    ) -> Beams | None:
        """One step was made by every live beam.

        Args:
            top_tokens: [beams, top] candidates of each beam, likeliest first.
            top_log_probabilities: [beams, top], of the candidate alone, nats.
            attention: [beams, places], in the drawing of the candidates; None as in ``Drawn``.

        Returns:
            The beams to go on with, or None when the search is over.
        """
        ...

    def failed(self, error: ServingError) -> None:
        """As ``RowSink.failed``."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class BeamSearch:
    """A beam search, as the scheduler takes it: up to ``width`` rows that begin as one."""

    sink: BeamSink
    prompt: tuple[int, ...]
    """As ``Row.prompt``."""
    width: int
    """Rows at most, >= 1."""
    top: int
    """Candidates wanted of each beam."""
    attention: bool = False
    """Whether it is wanted."""
    state: RowState | None = None
    client: str = ""
    deadline: float | None = None


Job = Row | BeamSearch


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Sets the state of a slot before a run, from another slot or from outside."""

    slot: int
    constants: bool = True
    """Whether ``source``'s constants are copied too; a slot that has them already needs none."""
    source: int | None = None
    """Slot to copy; all sources are read before any slot is written."""
    state: RowState | None = None
    """State to load if ``source`` is None; None: zeros."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillRun:
    """Let rows read symbols."""

    moves: tuple[Move, ...]
    slots: tuple[int, ...]
    """Distinct; row i of the arrays is the row in ``slots[i]``."""
    tokens: Ids
    """[rows, time], padded with 0."""
    lengths: Ids
    """[rows], 0..time."""
    score: bool = False
    """Whether log-probabilities are wanted."""
    attention: bool = False
    """Whether attention is."""
    kind: Literal["prefill"] = "prefill"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRun:
    """Take rows ``uniform.shape[1]`` steps further."""

    moves: tuple[Move, ...]
    slots: tuple[int, ...]
    token: Ids
    """[rows]."""
    sampling: tuple[Sampling, ...]
    """One a row."""
    alternatives: Ids
    """[rows]."""
    uniform: Floats
    """[rows, steps]."""
    minimum: Ids | None = None
    """[rows], steps of this run without stop symbols; None: none for any row."""
    attention: bool = False
    """Whether attention is wanted."""
    snapshots: tuple[int, ...] = ()
    """Rows (indices into ``slots``) whose state before the run is wanted."""
    kind: Literal["decode"] = "decode"


Run = PrefillRun | DecodeRun


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What the engine brings back. Arrays have one row a slot, in the run's order."""

    tokens: Ids | None = None
    """Decode: [rows, steps]."""
    log_probabilities: Floats | None = None
    """Decode: [rows, steps]; prefill: [rows, time, vocabulary] if wanted."""
    top_tokens: Ids | None = None
    """Decode: [rows, steps, top]; may be None if no row asked for alternatives."""
    top_log_probabilities: Floats | None = None
    attention: Floats | None = None
    """Decode: [rows, steps, places]; prefill: [rows, time, places]; if wanted and there is any."""
    snapshots: Mapping[int, RowState] = field(default_factory=dict)
    """Row -> its state before the run."""
    seconds: float = 0.0
    """Inside the engine."""


class StepEngine(Protocol):
    """The two graphs and the table of states.

    Called from worker threads, several at once, never for the same slot twice at a time.
    """

    slots: int
    """Rows of the table."""
    top: int
    """Alternatives that the decode graph offers."""
    places: int
    """Of its attention; 0 if it has none."""

    def execute(self, run: Run) -> RunResult:
        """Do the moves, run the graph, store the new states.

        If it raises, no slot of ``run.slots`` has changed but by the moves. Raises InferenceFailed,
        ShuttingDown.
        """
        ...

    def read_state(self, slot: int) -> RowState:
        """A copy of one row's state."""
        ...


class RunObserver(Protocol):
    """Is told of every run, on the event loop."""

    def run_finished(
        self, kind: Literal["prefill", "decode"], rows: int, steps: int, seconds: float
    ) -> None:
        """``seconds`` inside the engine; ``steps`` is K, or the longest part of a prompt read."""
        ...


class TokenScheduler(Protocol):
    """Shares the engine among rows. Lives on the event loop; needs no lock."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take all jobs of one request, or none. Results go to their sinks.

        Rows of one call with equal ``prompt``, ``state`` and ``state is None`` share one reading of
        the prompt.

        Raises:
            QueueFull: too many rows wait already.
            ShuttingDown: the scheduler was closed.
        """
        ...

    def cancel(self, job: Job) -> None:
        """Stop a job; its sink hears nothing more. A finished job is ignored."""
        ...

    def waiting_rows(self) -> int:
        """Rows without a slot."""
        ...

    def active_rows(self) -> int:
        """Rows with a slot."""
        ...

    async def drain(self) -> None:
        """Wait until no row is left."""
        ...

    def close(self) -> None:
        """Fail every row with ShuttingDown and refuse new ones."""
        ...
