"""The load generator's event loop: N clients, each sends its next request when answered."""

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.serving.usage import Usage, measure_usage
from benchmarks.serving.wire import Wire, WireError

RECEIVE_BYTES = 65536
ANSWER_TIMEOUT_S = 10.0
CHECK_EVERY = 16
"""Of every so many answers of a client, one has its numbers compared."""

Check = Callable[[int, bytes], None]
"""Compares an answer with what request number ``int`` must give; raises WireError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One closed loop."""

    address: tuple[str, int]
    requests: Sequence[bytes]
    """Made beforehand; each client goes through them in turn, from a place of its own."""
    check: Check
    warm_s: float
    """Unmeasured seconds before the measured ones."""
    measured_s: float
    server_pid: int


@dataclass(slots=True)
class Outcome:
    """What a closed loop measured."""

    latencies_s: list[float]
    """Of each answer inside the window, from before its request was sent to its last byte."""
    usage: Usage
    """Over the window."""


@dataclass(slots=True)
class _Client:
    wire: Wire
    connection: socket.socket
    turn: int
    sent_s: float = 0.0


@dataclass(slots=True)
class _Loop:
    plan: Plan
    poll: select.epoll
    clients: dict[int, _Client] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)

    def connect(self, wires: Sequence[Wire]) -> None:
        for number, wire in enumerate(wires):
            connection = socket.create_connection(self.plan.address, ANSWER_TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            turn = number * len(self.plan.requests) // len(wires)
            client = _Client(wire, connection, turn)
            self.clients[connection.fileno()] = client
            self.poll.register(connection.fileno(), select.EPOLLIN)
            connection.sendall(wire.opening())
            self.send(client)

    def send(self, client: _Client) -> None:
        client.sent_s = time.perf_counter()
        requests = self.plan.requests
        client.connection.sendall(client.wire.frame(requests[client.turn % len(requests)]))

    def run_until(self, end_s: float) -> None:
        """Exchange until ``end_s`` on ``time.perf_counter``."""
        while time.perf_counter() < end_s:
            for client in self.answered():
                self.send(client)

    def drain(self) -> None:
        """Wait for the answers that are due, so that nothing runs into the next measurement."""
        waiting = len(self.clients)
        while waiting:
            waiting -= sum(1 for _ in self.answered())

    def answered(self) -> Iterator[_Client]:
        """Wait for bytes; the clients whose answers they complete, one by one."""
        ready = self.poll.poll(ANSWER_TIMEOUT_S)
        if not ready:
            raise WireError(f"no answer within {ANSWER_TIMEOUT_S} s")
        for fd, _ in ready:
            client = self.clients[fd]
            if self._receive(client):
                yield client

    def _receive(self, client: _Client) -> bool:
        data = client.connection.recv(RECEIVE_BYTES)
        if not data:
            raise WireError("the server closed a connection")
        answer = client.wire.receive(data)
        if control := client.wire.take_control():
            client.connection.sendall(control)
        if answer is None:
            return False
        self.latencies_s.append(time.perf_counter() - client.sent_s)
        if client.turn % CHECK_EVERY == 0:
            self.plan.check(client.turn % len(self.plan.requests), answer)
        client.turn += 1
        return True


def run_closed_loop(plan: Plan, wires: Sequence[Wire]) -> Outcome:
    """Load the server with one client for each of ``wires``.

    Raises:
        WireError: an answer was wrong or missing.
        OSError: a connection failed.
    """
    with select.epoll() as poll:
        loop = _Loop(plan, poll)
        try:
            loop.connect(wires)
            loop.run_until(time.perf_counter() + plan.warm_s)
            loop.latencies_s.clear()
            before = measure_usage(plan.server_pid)
            loop.run_until(time.perf_counter() + plan.measured_s)
            usage = measure_usage(plan.server_pid).since(before)
            latencies_s = loop.latencies_s[:]
            loop.drain()
        finally:
            for client in loop.clients.values():
                client.connection.close()
    return Outcome(latencies_s, usage)
