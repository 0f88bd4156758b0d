import struct

import pytest

from benchmarks.serving.grpc_wire import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    GrpcWire,
    frame,
    header_block,
    unframed,
)
from benchmarks.serving.wire import WireError

MESSAGE = b"\0" + struct.pack(">I", 5) + b"hello"
TRAILERS = b"\x00\x0bgrpc-status\x010"


def opened() -> GrpcWire:
    wire = GrpcWire("/package.Service/Method", "127.0.0.1:1")
    wire.frame(b"request")
    return wire


def answer(stream: int, trailers: bytes = TRAILERS) -> bytes:
    return (
        frame(HEADERS, END_HEADERS, stream, b"\x88")
        + frame(DATA, 0, stream, MESSAGE)
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers)
    )


def test_frame_writes_length_type_flags_and_stream_as_rfc_9113_orders_them() -> None:
    assert frame(PING, ACK, 3, b"abc") == b"\0\0\x03\x06\x01\0\0\0\x03abc"


def test_header_block_spells_path_and_authority_as_hpack_literals() -> None:
    block = header_block("/a.B/C", "host:1")
    assert block.startswith(b"\x83\x86\x04\x06/a.B/C\x01\x06host:1")


def test_header_block_refuses_a_path_that_needs_a_longer_length_field() -> None:
    with pytest.raises(ValueError, match="126 bytes"):
        header_block("/" + "x" * 126, "host:1")


def test_opening_begins_with_the_preface() -> None:
    assert GrpcWire("/a.B/C", "host:1").opening().startswith(PREFACE)


def test_frame_takes_the_next_odd_stream_for_each_call() -> None:
    wire = GrpcWire("/a.B/C", "host:1")
    streams = [int.from_bytes(wire.frame(b"")[5:9], "big") for _ in range(3)]
    assert streams == [1, 3, 5]


def test_frame_refuses_to_overrun_the_connection_window() -> None:
    wire = GrpcWire("/a.B/C", "host:1")
    for _ in range(6):
        wire.frame(bytes(10_000))
    with pytest.raises(WireError, match="no room"):
        wire.frame(bytes(10_000))


def test_frame_goes_on_when_the_server_has_widened_the_window() -> None:
    wire = GrpcWire("/a.B/C", "host:1")
    for _ in range(10):
        wire.frame(bytes(10_000))
        wire.receive(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 10_005)))


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_receive_gives_the_message_when_its_trailers_are_there(step: int) -> None:
    wire, data = opened(), answer(1)
    pieces = [data[i : i + step] for i in range(0, len(data), step)]
    answers = [wire.receive(piece) for piece in pieces]
    assert answers == [None] * (len(pieces) - 1) + [b"hello"]


def test_receive_refuses_a_status_other_than_ok() -> None:
    with pytest.raises(WireError, match="the call failed"):
        opened().receive(answer(1, b"\x00\x0bgrpc-status\x0214"))


def test_receive_refuses_the_answer_of_another_stream() -> None:
    with pytest.raises(WireError, match="the call failed"):
        opened().receive(answer(5))


def test_receive_refuses_a_server_that_goes_away() -> None:
    with pytest.raises(WireError, match="ended the connection"):
        opened().receive(frame(GOAWAY, 0, 0, bytes(8)))


def test_take_control_acknowledges_settings_and_pings_once() -> None:
    wire = opened()
    wire.receive(frame(SETTINGS, 0, 0, b"") + frame(PING, 0, 0, b"12345678"))
    assert wire.take_control() == frame(SETTINGS, ACK, 0, b"") + frame(PING, ACK, 0, b"12345678")
    assert wire.take_control() == b""


@pytest.mark.parametrize("message", [b"", b"\x01" + MESSAGE[1:], MESSAGE[:-1]])
def test_unframed_refuses_what_is_not_one_plain_message(message: bytes) -> None:
    with pytest.raises(WireError):
        unframed(message)
