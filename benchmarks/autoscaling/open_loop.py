"""Requests sent at given times, whether or not earlier ones are answered."""

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.serving.http_wire import HttpWire
from benchmarks.serving.wire import WireError

RECEIVE_BYTES = 1 << 18
LONGEST_WAIT_S = 30.0


@dataclass(slots=True)
class _Link:
    connection: socket.socket
    server: int
    wire: HttpWire = field(default_factory=HttpWire)
    sent_s: float = 0.0
    request: int = -1
    """Number of the request that it carries; -1: it is free."""


@dataclass(slots=True)
class OpenLoop:
    """One load on several servers."""

    addresses: Sequence[tuple[str, int]]
    request: bytes
    _links: dict[int, _Link] = field(default_factory=dict)
    _free: list[list[_Link]] = field(default_factory=list)

    def run(
        self, times_s: npt.NDArray[np.float64], servers: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Send request i to server ``servers[i]`` at ``times_s[i]`` after the call.

        Returns:
            float64 [requests], seconds from the time it was due to its last byte.

        Raises:
            WireError: an answer was wrong or missing.
        """
        self._free = [[] for _ in self.addresses]
        latencies = np.full(len(times_s), np.nan)
        began_s, sent, answered = time.perf_counter(), 0, 0
        with select.epoll() as poll:
            try:
                while answered < len(times_s):
                    now_s = time.perf_counter() - began_s
                    while sent < len(times_s) and times_s[sent] <= now_s:
                        self._send(poll, sent, int(servers[sent]))
                        sent += 1
                    due_s = times_s[sent] - now_s if sent < len(times_s) else LONGEST_WAIT_S
                    ready = poll.poll(max(0.0, due_s))
                    if not ready and sent == len(times_s):
                        raise WireError(f"no answer within {LONGEST_WAIT_S} s")
                    for descriptor, _ in ready:
                        number = self._receive(self._links[descriptor])
                        if number is not None:
                            ended_s = time.perf_counter() - began_s
                            latencies[number] = ended_s - times_s[number]
                            answered += 1
            finally:
                for link in self._links.values():
                    link.connection.close()
                self._links.clear()
        return latencies

    def _send(self, poll: select.epoll, number: int, server: int) -> None:
        if self._free[server]:
            link = self._free[server].pop()
        else:
            link = _Link(socket.create_connection(self.addresses[server], 30), server)
            link.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links[link.connection.fileno()] = link
            poll.register(link.connection.fileno(), select.EPOLLIN)
        link.request = number
        link.connection.sendall(link.wire.frame(self.request))

    def _receive(self, link: _Link) -> int | None:
        """The number of the request whose answer is complete now."""
        data = link.connection.recv(RECEIVE_BYTES)
        if not data:
            raise WireError("the server closed a connection")
        if link.wire.receive(data) is None:
            return None
        self._free[link.server].append(link)
        return link.request
