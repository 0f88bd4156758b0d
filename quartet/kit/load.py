"""Loads a server: clients that wait for their answers, or arrivals that wait for nobody.

A *closed loop* of N clients, each sending its next request when it is answered, finds how much the
server can do. It says little of latency, since a slow server slows its own arrivals down. An *open
loop* sends at the moments of a Poisson process and counts latency from the moment at which a
request was due, so that neither the server nor this client can hide a delay (Schroeder, Wierman
and Harchol-Balter 2006, "Open Versus Closed: A Cautionary Tale").

Everything runs on one thread. How busy that was is part of every result.
"""

import asyncio
import random
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field

from quartet.kit.connection import Address, Answer, Connection, connect
from quartet.kit.errors import KitError

REJECTED = 429
LIMIT_S = 10.0
"""Longest window of a server that hardly answers, unless it was asked for."""
BEHIND_S = 2.0
"""Open loop: arrivals of so many seconds without an answer end it."""
LEAST_PART = 0.25
"""Of a window that ends so."""
MAX_CONNECTIONS = 512
"""Open at once in an open loop; beyond it requests wait in the client, and the wait counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How long to measure."""

    warm_s: float
    """Unmeasured seconds at the beginning."""
    seconds: float
    """Measured seconds at least."""
    enough: int = 200
    """Answers that end the window once ``seconds`` have passed."""
    longest: float = 3.0
    """Times ``seconds`` after which fewer end it too."""
    least: int = 1
    """Answers without which it ends only at ``LIMIT_S``."""

    def over(self, elapsed_s: float, answers: int) -> bool:
        """Whether it has been long enough."""
        if elapsed_s >= max(LIMIT_S, self.seconds * self.longest):
            return True
        late = elapsed_s >= self.seconds * self.longest
        wanted = self.least if late else max(self.enough, self.least)
        return elapsed_s >= self.seconds and answers >= wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one load did."""

    latencies_s: tuple[float, ...]
    """With a status of 2xx, seconds; open loop: of the requests that were due in the window."""
    answered: int
    """Requests answered within the window, whenever they were due."""
    rejected: int
    """Answers of status 429 in the window."""
    window_s: float
    """Length of the window, seconds."""
    sent: int
    """Requests in all, before and after the window too."""
    client_cpu: float
    """Share of the window in which this client's thread was busy, 0 to 1."""
    lateness_s: tuple[float, ...] = ()
    """Open loop: how much later than due each request was sent, seconds."""

    @property
    def requests_per_second(self) -> float:
        """Answered in the window."""
        return self.answered / self.window_s


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest of ``values`` that a share ``q`` of them does not exceed (nearest rank).

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("no values")
    rank = -(-q * len(values) // 1)
    return sorted(values)[min(max(int(rank), 1), len(values)) - 1]


@dataclass(slots=True)
class _Run:
    """One load under way: what came when, and whether the window is over."""

    window: Window
    begin_s: float
    """Of the window, on ``time.perf_counter``."""
    end_s: float | None = None
    in_window: int = 0
    answers: list[tuple[float, float, int]] = field(default_factory=list)
    """When it counts (answered, or due), latency in seconds, status."""
    answered_s: list[float] = field(default_factory=list)
    """When each came."""
    lateness_s: list[float] = field(default_factory=list)
    behind: bool = False
    """The server does not keep up: more would say so no more clearly, and take long to end."""
    cpu_s: float | None = None
    client_cpu: float = 0.0

    def tick(self) -> bool:
        """Whether to go on; begins and ends the window."""
        if self.end_s is not None:
            return False
        now_s = time.perf_counter()
        if now_s >= self.begin_s and self.cpu_s is None:
            self.begin_s, self.cpu_s = now_s, time.thread_time()
        elapsed_s = now_s - self.begin_s
        over = self.window.over(elapsed_s, self.in_window)
        over |= self.behind and elapsed_s >= self.window.seconds * LEAST_PART
        if self.cpu_s is None or not over:
            return True
        self.end_s = now_s
        self.client_cpu = (time.thread_time() - self.cpu_s) / elapsed_s
        return False

    def record(self, answer: Answer, when_s: float, latency_s: float) -> None:
        """Keep an answer. Raises KitError if it is an error other than 429."""
        if answer.status != REJECTED and not 200 <= answer.status < 300:
            raise KitError(f"the server refused a request: {answer.error}")
        self.answers.append((when_s, latency_s, answer.status))
        if answer.status != REJECTED:
            self.answered_s.append(time.perf_counter())
        self.in_window += self.cpu_s is not None and when_s >= self.begin_s

    def tally(self) -> Tally:
        """The result, once the window is over."""
        assert self.end_s is not None
        inside = [a for a in self.answers if self.begin_s <= a[0] <= self.end_s]
        return Tally(
            answered=sum(self.begin_s <= at_s <= self.end_s for at_s in self.answered_s),
            latencies_s=tuple(latency for _, latency, status in inside if status != REJECTED),
            rejected=sum(status == REJECTED for *_, status in inside),
            window_s=self.end_s - self.begin_s,
            sent=len(self.answers),
            client_cpu=self.client_cpu,
            lateness_s=tuple(self.lateness_s),
        )


async def run_closed_loop(
    address: Address, requests: Sequence[bytes], clients: int, window: Window
) -> Tally:
    """Load the server with ``clients`` that each wait for their answer.

    ``requests`` are sent in turn, each client beginning at a place of its own. Returns when the
    last answer has come.

    Raises:
        KitError: an answer is an error other than 429, or a connection broke.
    """
    run = _Run(window, time.perf_counter() + window.warm_s)

    async def one(number: int) -> None:
        connection = await connect(address)
        turn = number * len(requests) // clients
        try:
            while run.tick():
                if not connection.usable:
                    connection = await connect(address)
                sent_s = time.perf_counter()
                answer = await connection.send(requests[turn % len(requests)])
                now_s = time.perf_counter()
                run.record(answer, now_s, now_s - sent_s)
                turn += 1
        finally:
            connection.close()

    await _all(one(number) for number in range(clients))
    return run.tally()


async def run_open_loop(
    address: Address, requests: Sequence[bytes], rate: float, window: Window, *, seed: int = 0
) -> Tally:
    """Send ``rate`` requests a second at the moments of a Poisson process.

    Latency is counted from the moment at which a request was due. Returns when the last answer has
    come.

    Raises:
        KitError: as ``run_closed_loop``.
    """
    run = _Run(window, time.perf_counter() + window.warm_s)
    pool = _Pool(address)
    slots = asyncio.Semaphore(MAX_CONNECTIONS)

    async def one(request: bytes, due_s: float) -> None:
        async with slots:
            connection = await pool.take()
            run.lateness_s.append(time.perf_counter() - due_s)
            answer = await connection.send(request)
            pool.idle.append(connection)
        run.record(answer, due_s, time.perf_counter() - due_s)

    async def arrive() -> None:
        gaps = random.Random(seed)
        due_s = time.perf_counter()
        turn = 0
        async with asyncio.TaskGroup() as tasks:
            while run.tick():
                due_s += gaps.expovariate(rate)
                if (wait_s := due_s - time.perf_counter()) > 0:
                    await asyncio.sleep(wait_s)
                tasks.create_task(one(requests[turn % len(requests)], due_s))
                turn += 1
                run.behind = turn - len(run.answers) > MAX_CONNECTIONS + rate * BEHIND_S

    try:
        await _all([arrive()])
    finally:
        pool.close()
    return run.tally()


class _Pool:
    """Connections of an open loop."""

    def __init__(self, address: Address) -> None:
        self.idle: list[Connection] = []
        self._address = address
        self._opened: list[Connection] = []

    async def take(self) -> Connection:
        """One that nobody uses."""
        while self.idle:
            connection = self.idle.pop()
            if connection.usable:
                return connection
        connection = await connect(self._address)
        self._opened.append(connection)
        return connection

    def close(self) -> None:
        """Close all, used or not."""
        for connection in self._opened:
            connection.close()


async def _all(coroutines: Iterable[Coroutine[object, object, None]]) -> None:
    """Run them together; the first KitError ends the rest."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for coroutine in coroutines:
                tasks.create_task(coroutine)
    except* KitError as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[KitError]) -> KitError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
