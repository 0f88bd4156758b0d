"""What the load generator's event loop needs of a protocol."""

from typing import Protocol


class WireError(RuntimeError):
    """An answer that is not the one that was due; the measurement is void."""


class Wire(Protocol):
    """One connection with one request in flight, as bytes in and bytes out, without the socket."""

    def opening(self) -> bytes:
        """What the client sends first."""
        ...

    def frame(self, request: bytes) -> bytes:
        """``request`` as it goes onto the wire."""
        ...

    def receive(self, data: bytes) -> bytes | None:
        """Take in ``data``; the whole answer once it is there. Raises WireError."""
        ...

    def take_control(self) -> bytes:
        """What must be sent in reply to the server's control messages; mostly nothing."""
        ...
