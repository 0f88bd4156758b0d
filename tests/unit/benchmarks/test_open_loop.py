"""Requests at given times, against a small server of sockets."""

import itertools
import socketserver
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.autoscaling.open_loop import Answer, OpenLoop
from benchmarks.serving.wire import WireError

GOOD, BAD = b"g", b"b"


class Handler(socketserver.BaseRequestHandler):
    """Requests are single bytes. Of the good ones, it refuses every third."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        while request := self.request.recv(1):
            status = b"200 OK" if request == GOOD else b"500 Fault"
            if request == GOOD and next(server.turns) % 3 == 2:
                status = b"429 Full"
            self.request.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.turns = itertools.count()


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield ("127.0.0.1", server.server_address[1])
        server.shutdown()
        thread.join()


def test_every_request_is_answered_and_refusals_are_infinite(address: tuple[str, int]) -> None:
    loop = OpenLoop([address, address], GOOD)
    latencies = loop.run(np.linspace(0, 0.05, 9), np.arange(9, dtype=np.int64) % 2)

    assert np.isinf(latencies).sum() == 3
    assert np.isfinite(latencies).sum() == 6
    assert (latencies > 0).all()


def test_another_status_is_an_error(address: tuple[str, int]) -> None:
    with pytest.raises(WireError, match="500"):
        OpenLoop([address], BAD).run(np.zeros(1, np.float64), np.zeros(1, np.int64))


def test_an_answer_may_come_in_pieces() -> None:
    answer = Answer()
    pieces = [b"HTTP/1.1 20", b"0 OK\r\ncontent-length: 3\r\n", b"\r\nab"]

    assert [answer.receive(piece) for piece in pieces] == [None, None, None]
    assert answer.receive(b"c") == 200
    assert answer.receive(b"HTTP/1.1 429 Full\r\nContent-Length: 0\r\n\r\n") == 429
