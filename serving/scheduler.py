"""What a scheduler is: takes the rows of one request, returns exactly their results.

Ownership: until ``submit`` returns or raises, the scheduler owns the request. Cancelling the await
gives it up; its rows leave the queue and disturb nobody who shares their batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from serving.types import Array, Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceStep:
    """Which sequence a request belongs to, and whether it begins or ends it."""

    id: int | str
    """Non-zero or non-empty; 1 and "1" are two sequences."""
    start: bool = False
    end: bool = False


@dataclass(slots=True, kw_only=True)
class Work:
    """The rows of one request, checked against the model."""

    inputs: Mapping[str, Array]
    """Input name -> array, first axis the batch if the model batches."""
    rows: int
    """Length of that axis, >= 1; 1 for models that do not batch."""
    outputs: tuple[str, ...]
    """Names of the outputs wanted."""
    deadline: float | None = None
    """Monotonic time after which nobody waits for the answer."""
    queue_timeout_s: float | None = None
    """Longest wait in the queue; None for no limit."""
    sequence: SequenceStep | None = None
    """For stateful models."""


@dataclass(slots=True)
class Finished:
    """What became of a Work: its outputs by name, and its times."""

    outputs: Mapping[str, Array]
    timings: Timings


class Scheduler(Protocol):
    """Joins requests into runs of the engine. Lives on the event loop; needs no lock."""

    async def submit(self, work: Work) -> Finished:
        """Run ``work``, alone or in company.

        Raises:
            QueueFull: too many rows wait already.
            DeadlineExceeded: its time ran out before its batch was formed.
            InferenceFailed: the engine failed on it.
            ShuttingDown: the scheduler was closed.
        """
        ...

    def queued_rows(self) -> int:
        """Rows that wait, those in execution not counted."""
        ...

    def queued_requests(self) -> int:
        """Requests that wait."""
        ...

    async def drain(self) -> None:
        """Wait until nothing is queued or running."""
        ...

    def close(self) -> None:
        """Fail what still waits with ShuttingDown and refuse new work."""
        ...
