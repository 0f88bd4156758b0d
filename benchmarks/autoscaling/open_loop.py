"""Requests sent at given times, whether or not earlier ones are answered."""

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.serving.wire import WireError

RECEIVE_BYTES = 1 << 18
LONGEST_WAIT_S = 30.0
END = b"\r\n\r\n"
LENGTH = b"content-length:"
OK, FULL = 200, 429


class Answer:
    """An HTTP/1.1 answer as it comes in."""

    def __init__(self) -> None:
        self._received = b""

    def receive(self, data: bytes) -> int | None:
        """Its status, once all of it is there; then the next one may come."""
        self._received += data
        head, found, body = self._received.partition(END)
        if not found:
            return None
        start = head.lower().index(LENGTH) + len(LENGTH)
        if len(body) < int(head[start:].split(b"\r\n", 1)[0]):
            return None
        self._received = b""
        return int(head.split(b" ", 2)[1])


@dataclass(slots=True)
class _Link:
    connection: socket.socket
    server: int
    answer: Answer = field(default_factory=Answer)
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
            float64 [requests], seconds from the time it was due to its last byte; infinite for
            those that were refused because the queue was full (429).

        Raises:
            WireError: an answer had another status, or none came.
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
                        link = self._links[descriptor]
                        status = self._receive(link)
                        if status is not None:
                            ended_s = time.perf_counter() - began_s
                            waited_s = ended_s - times_s[link.request]
                            latencies[link.request] = waited_s if status == OK else np.inf
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
        link.connection.sendall(self.request)

    def _receive(self, link: _Link) -> int | None:
        """The status of the answer that is complete now."""
        data = link.connection.recv(RECEIVE_BYTES)
        if not data:
            raise WireError("the server closed a connection")
        status = link.answer.receive(data)
        if status not in (None, OK, FULL):
            raise WireError(f"expected status {OK} or {FULL}, got {status}: {data[-400:]!r}")
        if status is not None:
            self._free[link.server].append(link)
        return status
