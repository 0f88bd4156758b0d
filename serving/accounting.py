"""Counts requests, whatever becomes of them: how many are in flight, how each ended and when."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from serving.errors import Cancelled, ServingError, ShuttingDown, internal_error
from serving.loaded_model import LoadedModel
from serving.metrics import Metrics
from serving.types import Timings

OK = "ok"
"""Outcome of a request that was answered."""

logger = logging.getLogger(__name__)


class CountedRequest(Protocol):
    """What is told of a request."""

    @property
    def model_name(self) -> str:
        """As the client named it."""
        ...

    @property
    def protocol(self) -> str:
        """``http`` or ``grpc``."""
        ...

    @property
    def request_id(self) -> str:
        """The server's id of the call."""
        ...


class Accounting:
    """The requests of one server. Lives on the event loop."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        log_requests: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``log_requests``: one log line a request; ``clock``: seconds."""
        self._metrics = metrics
        self._log_requests = log_requests
        self._clock = clock
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def refuse_new(self) -> None:
        """Let what is in flight finish and take nothing more."""
        self._closed = True

    async def drained(self) -> None:
        """Wait until no request is in flight."""
        await self._idle.wait()

    def open(self, request: CountedRequest) -> "Entry":
        """Begin to count a request; it is in flight until the entry is closed.

        Raises:
            ShuttingDown: no more are taken.
        """
        if self._closed:
            raise ShuttingDown("the server is shutting down and has stopped accepting new requests")
        self._in_flight += 1
        self._idle.clear()
        return Entry(self, request, self._clock())

    @contextmanager
    def counted(self, request: CountedRequest) -> Iterator["Entry"]:
        """Count a request that is answered within the block. Raises as ``open``."""
        entry = self.open(request)
        with entry.failing():
            yield entry
        entry.close(OK)

    def count_refused(self, protocol: str, error: ServingError) -> None:
        """Count a request that failed in the transport, before any model could be charged."""
        if not error.counted:
            error.counted = True
            self._metrics.unrouted(protocol, error.outcome)

    def record(self, entry: "Entry", outcome: str) -> None:
        """Take a finished request out of flight and into the metrics."""
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()
        duration_s = self._clock() - entry.started
        request, model, timings = entry.request, entry.model, entry.timings
        if model is None:
            self._metrics.unrouted(request.protocol, outcome)
        else:
            model.metrics.request_finished(request.protocol, outcome, duration_s, timings)
        if self._log_requests:
            logger.info(
                "request",
                extra={
                    "request_id": request.request_id,
                    "protocol": request.protocol,
                    "model": request.model_name,
                    "version": model.version if model else None,
                    "outcome": outcome,
                    "duration_ms": round(duration_s * 1e3, 3),
                    "queue_ms": round(timings.queue_s * 1e3, 3) if timings else None,
                    "execution_ms": round(timings.compute_infer_s * 1e3, 3) if timings else None,
                    "batch_rows": timings.batch_rows if timings else None,
                },
            )


class Entry:
    """One request in flight."""

    __slots__ = ("_accounting", "_open", "model", "request", "started", "timings")

    def __init__(self, accounting: Accounting, request: CountedRequest, started: float) -> None:
        self._accounting = accounting
        self._open = True
        self.request = request
        self.started = started
        """Seconds on the accounting's clock."""
        self.model: LoadedModel | None = None
        """Set once it is known which model is charged."""
        self.timings: Timings | None = None
        """Set once the request has run."""

    def close(self, outcome: str) -> None:
        """The request is over; a second call changes nothing."""
        if self._open:
            self._open = False
            self._accounting.record(self, outcome)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Close the entry if the block raises.

        Raises:
            ServingError: what the block raised, or "internal error" in place of anything else that
                is no one's wish; it is marked as counted.
        """
        try:
            yield
        except ServingError as error:
            error.counted = True
            self.close(error.outcome)
            raise
        except Exception as error:
            # Made a ServingError here so that the transport does not count it a second time.
            crash = internal_error(self.request.request_id)
            crash.counted = True
            self.close(crash.outcome)
            raise crash from error
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
            self.close(Cancelled.outcome if cancelled else ServingError.outcome)
            raise
