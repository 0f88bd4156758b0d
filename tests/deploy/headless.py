"""The name of a headless Service: a DNS server that knows the addresses of its ready pods."""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

HOST = "127.0.0.1"
NAME = "quartet-grpc.default.svc.cluster.local"
QUESTION_AT = 12
"""Where the question of a message begins (RFC 1035, section 4.1)."""
TYPE_A, CLASS_IN = 1, 1
ANSWER_FLAGS = 0x8580
"""An answer, authoritative, of a server that asks others, without an error."""
NAME_OF_QUESTION = b"\xc0\x0c"
"""A pointer to it."""
TTL_S = 0


class Dns:
    """Answers every question for IPv4 addresses with ``addresses``, in the order they have."""

    def __init__(self) -> None:
        self.addresses: Sequence[str] = ()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def target(self, port: int) -> str:
        """What a gRPC client dials: the name, and this server to ask for it."""
        return f"dns://{HOST}:{self._socket.getsockname()[1]}/{NAME}:{port}"

    def close(self) -> None:
        """End the thread."""
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(512)
            if not query:
                return
            self._socket.sendto(answer(query, self.addresses), peer)


def answer(query: bytes, addresses: Sequence[str]) -> bytes:
    """The answer to a query of one question."""
    end = query.index(b"\0", QUESTION_AT) + 1 + 4
    (kind,) = struct.unpack(">H", query[end - 4 : end - 2])
    found = addresses if kind == TYPE_A else ()
    counts = struct.pack(">HHHH", 1, len(found), 0, 0)
    records = b"".join(
        NAME_OF_QUESTION
        + struct.pack(">HHIH", TYPE_A, CLASS_IN, TTL_S, 4)
        + socket.inet_aton(address)
        for address in found
    )
    flags = struct.pack(">H", ANSWER_FLAGS)
    return query[:2] + flags + counts + query[QUESTION_AT:end] + records


@contextmanager
def started_dns() -> Iterator[Dns]:
    """A server, ended with the block."""
    dns = Dns()
    try:
        yield dns
    finally:
        dns.close()
