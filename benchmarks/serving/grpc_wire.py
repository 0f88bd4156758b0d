"""The least of gRPC over HTTP/2 that a load generator needs.

gRPC's own Python client costs more processor time a call than the server under test leaves on a
machine of two cores, so that it would measure itself. As h2load does for HTTP/2, this client sends
frames made beforehand and reads only what proves an answer right: status, length and data.

Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK), and "gRPC over HTTP2" of the gRPC project. The client
announces a header table of size 0, so that the server's header blocks hold no references to earlier
ones and can be searched as they are.
"""

import struct

from benchmarks.serving.wire import WireError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD_BYTES = 9
MAX_FRAME_BYTES = 16384
"""Largest payload of a frame, unless a peer allows more (RFC 9113, SETTINGS_MAX_FRAME_SIZE)."""
INITIAL_WINDOW_BYTES = 65535
MAX_WINDOW_BYTES = 2**31 - 1

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 0x1
END_HEADERS = 0x4

_SETTING_HEADER_TABLE_SIZE, _SETTING_ENABLE_PUSH, _SETTING_INITIAL_WINDOW_SIZE = 1, 2, 4
_STATUS_OK = b"\x0bgrpc-status\x010"
_PREFIX = struct.Struct(">BI")
"""Of a gRPC message: whether it is compressed, and its bytes."""


class GrpcWire:
    """One connection with one call of one method in flight.

    Flow control is respected by waiting: a call goes out only while the connection's window has
    room, which with one small call in flight it always has, and running out is an error.
    """

    def __init__(self, path: str, authority: str) -> None:
        """``path`` is ``/package.Service/Method``; ``authority`` the server's host and port."""
        self._header_block = header_block(path, authority)
        self._stream = -1
        self._received = b""
        self._message = b""
        self._control: list[bytes] = []
        self._window_bytes = INITIAL_WINDOW_BYTES

    def opening(self) -> bytes:
        """Preface, settings, and a window that no answer will exhaust."""
        settings = struct.pack(
            ">HIHIHI",
            *(_SETTING_HEADER_TABLE_SIZE, 0),
            *(_SETTING_ENABLE_PUSH, 0),
            *(_SETTING_INITIAL_WINDOW_SIZE, MAX_WINDOW_BYTES),
        )
        room = struct.pack(">I", MAX_WINDOW_BYTES - INITIAL_WINDOW_BYTES)
        return PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, room)

    def frame(self, request: bytes) -> bytes:
        """The next call: its headers, and the serialised message ``request``."""
        message = _PREFIX.pack(0, len(request)) + request
        self._window_bytes -= len(message)
        if self._window_bytes < 0 or len(message) > MAX_FRAME_BYTES:
            raise WireError(f"no room to send a message of {len(message)} bytes")
        self._stream += 2
        return frame(HEADERS, END_HEADERS, self._stream, self._header_block) + frame(
            DATA, END_STREAM, self._stream, message
        )

    def take_control(self) -> bytes:
        """Acknowledgements of settings and pings."""
        if not self._control:
            return b""
        replies = b"".join(self._control)
        self._control.clear()
        return replies

    def receive(self, data: bytes) -> bytes | None:
        """The response message once its trailers say that it is right, else None.

        Raises:
            WireError: the call failed, or the server closed the connection.
        """
        self._received += data
        position, answer = 0, None
        while (payload := position + FRAME_HEAD_BYTES) <= len(self._received):
            head = self._received[position:payload]
            end = payload + int.from_bytes(head[:3], "big")
            if end > len(self._received):
                break
            if self._take_frame(head, self._received[payload:end]):
                answer, self._message = unframed(self._message), b""
            position = end
        self._received = self._received[position:]
        return answer

    def _take_frame(self, head: bytes, payload: bytes) -> bool:
        """Take in one frame; whether it ended the call."""
        kind, flags = head[3], head[4]
        if kind == DATA:
            self._message += payload
        elif kind == HEADERS and flags & END_STREAM:
            if int.from_bytes(head[5:], "big") != self._stream or _STATUS_OK not in payload:
                raise WireError(f"the call failed: {payload!r}")
            return True
        elif kind == WINDOW_UPDATE and head[5:] == b"\0\0\0\0":
            self._window_bytes += int.from_bytes(payload, "big")
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._control.append(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind in (RST_STREAM, GOAWAY):
            raise WireError(f"the server ended the connection: {payload!r}")
        return False


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def header_block(path: str, authority: str) -> bytes:
    """The request headers of a unary call in HPACK: literals without indexing, no Huffman code."""
    return b"".join(
        (
            b"\x83\x86",  # static table 3 and 6: ":method: POST", ":scheme: http"
            b"\x04" + _string(path),  # name of static table 4, ":path"
            b"\x01" + _string(authority),  # name of static table 1, ":authority"
            b"\x0f\x10" + _string("application/grpc"),  # name of static table 31, content-type
            b"\x00" + _string("te") + _string("trailers"),
        )
    )


def unframed(message: bytes) -> bytes:
    """The message behind gRPC's length prefix. Raises WireError."""
    if len(message) < _PREFIX.size:
        raise WireError("the call ended without a message")
    compressed, size = _PREFIX.unpack_from(message)
    if compressed or size != len(message) - _PREFIX.size:
        raise WireError(f"expected one uncompressed message of {size} bytes, got {message[:40]!r}")
    return message[_PREFIX.size :]


def _string(text: str) -> bytes:
    """A string literal of HPACK (RFC 7541, 5.2) of at most 126 bytes."""
    data = text.encode("ascii")
    if len(data) > 126:
        raise ValueError(f"{text!r} is longer than the 126 bytes that this encoder writes")
    return bytes((len(data),)) + data
