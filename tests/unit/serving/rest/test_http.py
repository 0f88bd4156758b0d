"""Bodies in and out: limits, compression, errors, clients that leave."""

import asyncio
import gzip
import json
import random
import threading
import tracemalloc
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import (
    Cancelled,
    InvalidInput,
    ModelNotReady,
    PayloadTooLarge,
    ServingError,
    UnsupportedEncoding,
)
from serving.rest.http import (
    COMPRESS_ASIDE_BYTES,
    COMPRESS_FROM_BYTES,
    Message,
    Receive,
    Reply,
    Scope,
    compress,
    decompress,
    error_reply,
    preferred_encoding,
    read_body,
    send_reply,
    unless_client_leaves,
)

LIMIT = 1000
DISCONNECT: Message = {"type": "http.disconnect"}


def receiving(messages: Sequence[Message]) -> Receive:
    """Gives the messages, then waits for ever, as a quiet client does."""
    left = list(messages)

    async def receive() -> Message:
        return left.pop(0) if left else await asyncio.get_running_loop().create_future()

    return receive


def body_messages(*chunks: bytes) -> list[Message]:
    return [
        {"type": "http.request", "body": chunk, "more_body": n < len(chunks)}
        for n, chunk in enumerate(chunks, start=1)
    ]


async def read(*chunks: bytes, **headers: str) -> bytes:
    encoded = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return await read_body({"headers": encoded}, receiving(body_messages(*chunks)), LIMIT)


async def test_read_body_joins_the_chunks() -> None:
    assert await read(b"a", b"", b"bc") == b"abc"


async def test_read_body_takes_a_body_of_exactly_the_limit() -> None:
    assert len(await read(b"x" * 400, b"x" * 600)) == LIMIT


async def test_read_body_refuses_by_the_declared_length_before_reading() -> None:
    with pytest.raises(PayloadTooLarge, match="limit of 1000 bytes"):
        await read(content_length="1001")


@pytest.mark.parametrize("declared", [{}, {"content_length": "10"}, {"content_length": "many"}])
async def test_read_body_stops_reading_when_the_body_passes_the_limit(
    declared: dict[str, str],
) -> None:
    with pytest.raises(PayloadTooLarge):
        await read(b"x" * 600, b"x" * 401, **declared)


async def test_read_body_gives_up_when_the_client_leaves_while_sending() -> None:
    messages = [{"type": "http.request", "body": b"a", "more_body": True}, DISCONNECT]
    with pytest.raises(Cancelled):
        await read_body({"headers": []}, receiving(messages), LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP ", "deflate"])
async def test_read_body_inflates(encoding: str) -> None:
    pack = gzip.compress if "gzip" in encoding.lower() else zlib.compress
    assert await read(pack(b"hello"), content_encoding=encoding) == b"hello"


@pytest.mark.parametrize("encoding", ["identity", ""])
async def test_read_body_leaves_the_body_alone_when_it_is_not_compressed(encoding: str) -> None:
    assert await read(b"hello", content_encoding=encoding) == b"hello"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x"])
async def test_read_body_names_what_is_served_when_the_encoding_is_not(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="expected gzip or deflate"):
        await read(b"hello", content_encoding=encoding)


def packed(data: bytes, encoding: str) -> bytes:
    return gzip.compress(data) if encoding == "gzip" else zlib.compress(data)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
class TestDecompress:
    """Both codings, since they share no framing."""

    def test_takes_data_of_exactly_the_limit(self, encoding: str) -> None:
        assert decompress(packed(b"x" * LIMIT, encoding), encoding, LIMIT) == b"x" * LIMIT

    def test_refuses_a_bomb(self, encoding: str) -> None:
        bomb = packed(b"\0" * 10_000_000, encoding)
        assert len(bomb) < 10_000_000 / 900
        tracemalloc.start()
        try:
            with pytest.raises(PayloadTooLarge):
                decompress(bomb, encoding, LIMIT)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1_000_000, "it was inflated before it was refused"

    @pytest.mark.parametrize("cut", [1, 4, 9])
    def test_refuses_truncated_data(self, encoding: str, cut: int) -> None:
        with pytest.raises(InvalidInput, match=f"cannot decompress the {encoding} body"):
            decompress(packed(b"hello, hello", encoding)[:-cut], encoding, LIMIT)

    @pytest.mark.parametrize("data", [b"", b"no such thing", b"\x1f\x8b\x08"])
    def test_refuses_what_is_not_compressed(self, encoding: str, data: bytes) -> None:
        with pytest.raises(InvalidInput, match=f"cannot decompress the {encoding} body"):
            decompress(data, encoding, LIMIT)

    def test_refuses_damaged_data(self, encoding: str) -> None:
        damaged = bytearray(packed(b"hello, hello", encoding))
        damaged[-5 if encoding == "gzip" else -1] ^= 1  # in the checksum
        with pytest.raises(InvalidInput, match=f"cannot decompress the {encoding} body"):
            decompress(bytes(damaged), encoding, LIMIT)

    def test_refuses_data_behind_the_end(self, encoding: str) -> None:
        """They would be lost without a word otherwise."""
        with pytest.raises(InvalidInput, match="bytes follow its end"):
            decompress(packed(b"a", encoding) + packed(b"b", encoding), encoding, LIMIT)


@given(data=st.binary(max_size=300), encoding=st.sampled_from(["gzip", "deflate"]))
@settings(deadline=None, max_examples=50)
def test_compress_and_decompress_are_inverse(data: bytes, encoding: str) -> None:
    body = data + b"x" * COMPRESS_FROM_BYTES
    reply = asyncio.run(compress(Reply(body), encoding))
    assert dict(reply.headers)[b"content-encoding"] == encoding.encode()
    assert dict(reply.headers)[b"vary"] == b"accept-encoding"
    assert decompress(reply.body, encoding, 10_000) == body


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("gzip;q=0.5, deflate; q=0.8", "deflate"),
        ("gzip;q=0, deflate;q=0.001", "deflate"),
        ("gzip;q=0", "identity"),
        ("*", "gzip"),
        ("*;q=0", "identity"),
        ("gzip;q=0, *", "deflate"),
        ("identity", "identity"),
        ("identity, gzip;q=0.5", "identity"),
        ("identity;q=0.2, gzip;q=0.5", "gzip"),
        ("br", "identity"),
        ("", "identity"),
        ("gzip;q=text", "identity"),
        ("gzip;q=nan", "identity"),
    ],
)
def test_preferred_encoding_follows_the_weights(accept: str, expected: str) -> None:
    assert preferred_encoding(accept) == expected


@pytest.mark.parametrize("accept", [None, "gzip"])
async def test_compress_leaves_small_answers_alone(accept: str | None) -> None:
    reply = await compress(Reply(b"x" * (COMPRESS_FROM_BYTES - 1)), accept)
    assert (len(reply.body), reply.headers) == (COMPRESS_FROM_BYTES - 1, ())


async def test_compress_leaves_answers_alone_when_the_client_does_not_ask() -> None:
    assert (await compress(Reply(b"x" * 10_000), None)).headers == ()


async def test_large_bodies_are_packed_and_unpacked_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = set()

    def seen(work: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            threads.add(threading.get_ident())
            return work(*args, **options)

        return call

    monkeypatch.setattr(zlib, "compress", seen(zlib.compress))
    monkeypatch.setattr(zlib, "decompressobj", seen(zlib.decompressobj))
    data = random.Random(0).randbytes(COMPRESS_ASIDE_BYTES + 1)
    reply = await compress(Reply(data), "gzip")
    scope: Scope = {"headers": [(b"content-encoding", b"gzip")]}
    body = await read_body(scope, receiving(body_messages(reply.body)), 2 * len(data))
    assert body == data
    assert threads
    assert threading.get_ident() not in threads


def test_error_reply_carries_text_and_request_id() -> None:
    reply = error_reply(InvalidInput("bad x"), "rid")
    assert reply.status == 400
    assert json.loads(reply.body) == {"error": "bad x", "request_id": "rid"}


def test_error_reply_says_when_to_retry() -> None:
    reply = error_reply(ModelNotReady("loading", retry_after_s=0.2), "rid")
    assert (b"retry-after", b"1") in reply.headers
    assert json.loads(reply.body)["retry_after_s"] == 0.2


def test_error_reply_names_the_encodings_when_one_is_not_served() -> None:
    reply = error_reply(UnsupportedEncoding("br"), "rid")
    assert (reply.status, dict(reply.headers)[b"accept-encoding"]) == (415, b"gzip, deflate")


@pytest.mark.parametrize("error", ServingError.__subclasses__())
def test_every_error_has_a_status_that_is_one(error: type[ServingError]) -> None:
    assert 400 <= error.http_status <= 599


async def test_send_reply_sends_length_type_and_request_id() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await send_reply(send, Reply(b"{}", 418, headers=((b"a", b"b"),)), "rid")
    assert sent[0]["status"] == 418
    assert dict(sent[0]["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"x-request-id": b"rid",
        b"a": b"b",
    }
    assert sent[1] == {"type": "http.response.body", "body": b"{}"}


async def _answer() -> str:
    return "answer"


async def _rounds(count: int) -> None:
    """Let the event loop go round ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_unless_client_leaves_returns_the_result() -> None:
    assert await unless_client_leaves(receiving([]), _answer()) == "answer"


async def test_unless_client_leaves_cancels_the_work_when_the_client_left() -> None:
    work = asyncio.get_running_loop().create_future()
    with pytest.raises(Cancelled, match="the client left"):
        await unless_client_leaves(receiving([DISCONNECT]), work)
    assert work.cancelled()


async def test_unless_client_leaves_lets_a_cancellation_from_outside_through() -> None:
    work = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(unless_client_leaves(receiving([]), work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_unless_client_leaves_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    await unless_client_leaves(receiving([]), _answer())
    assert asyncio.all_tasks() == before


async def test_unless_client_leaves_stops_listening_when_the_work_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A late listener would take the next request's first message off the connection."""
    monkeypatch.setattr("serving.rest.http.WATCH_AFTER_S", 0.0)
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        await asyncio.get_running_loop().create_future()
        return DISCONNECT

    await unless_client_leaves(receive, _answer())
    await _rounds(5)
    assert asked == 0, "the timer was left running"
    before = asyncio.all_tasks()
    await unless_client_leaves(receive, _rounds(5))
    await _rounds(1)
    assert (asked, asyncio.all_tasks()) == (1, before)
