"""A thousand clients that vanish in the middle of their text cost nothing and disturb nobody."""

import asyncio
import json
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.process import ServerProcess, wait_until
from tests.text_models import make_text_model

pytestmark = pytest.mark.e2e

MODEL = "tiny"
LABELS = {"model": MODEL}
WAVES, CLIENTS_PER_WAVE = 4, 250
ENDLESS = 100_000
"""Symbols asked for by those who leave: more than they could ever be sent."""
RESIDENT_SLACK_BYTES = 24 * 1024 * 1024
"""What the resident memory may grow by after the first wave: allocators keep some free pages."""


@pytest.fixture(scope="module")
def text_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with room for a whole wave at once."""
    repository = tmp_path_factory.mktemp("repository")
    make_text_model(repository / MODEL, precision="int8")
    raise_file_limit(4 * CLIENTS_PER_WAVE)
    process = ServerProcess(repository, f"--generation.slots={CLIENTS_PER_WAVE + 8}")
    try:
        yield process.wait_ready()
    finally:
        process.close()


def raise_file_limit(wanted: int) -> None:
    """Let this process and its children open ``wanted`` files, where the machine allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def completion(seed: int, max_tokens: int, *, stream: bool) -> bytes:
    body = {
        "model": MODEL,
        "prompt": "the quick",
        "max_tokens": max_tokens,
        "seed": seed,
        "stream": stream,
    }
    return json.dumps(body).encode()


def write_text(server: ServerProcess, seed: int, max_tokens: int) -> str:
    answer = server.request("POST", "/v1/completions", completion(seed, max_tokens, stream=False))
    assert answer.status == 200, answer.body
    text = answer.json()["choices"][0]["text"]
    assert isinstance(text, str)
    return text


async def vanish(port: int, seed: int, everyone_streams: asyncio.Barrier) -> None:
    """Begin to read a text, and reset the connection once all of the wave are being written to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = completion(seed, ENDLESS, stream=True)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    received = b""
    while b'"text":"' not in received:
        chunk = await reader.read(4096)
        assert chunk, f"the server closed: {received!r}"
        received += chunk
    await everyone_streams.wait()
    # Closing with a linger of 0 s sends RST: the client's machine is gone, not its manners.
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def wave(port: int) -> None:
    async def together() -> None:
        barrier = asyncio.Barrier(CLIENTS_PER_WAVE)
        await asyncio.gather(*(vanish(port, seed, barrier) for seed in range(CLIENTS_PER_WAVE)))

    asyncio.run(together())


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def cancelled(server: ServerProcess) -> float:
    return server.metric("quartet_generation_texts_total", reason="cancelled", **LABELS)


def has_cancelled(server: ServerProcess, texts: int) -> bool:
    return cancelled(server) >= texts


def test_thousand_clients_killed_in_mid_stream_leave_nothing_behind(
    text_server: ServerProcess,
) -> None:
    server = text_server
    alone = {seed: write_text(server, seed, 300) for seed in range(4)}
    staying = threading.Event()

    def stay(seed: int) -> int:
        """Ask for the same text again and again while the others come and go."""
        times = 0
        while not staying.is_set():
            assert write_text(server, seed, 300) == alone[seed]
            times += 1
        return times

    residents = []
    with ThreadPoolExecutor(len(alone)) as pool:
        stayers: list[Future[int]] = [pool.submit(stay, seed) for seed in alone]
        try:
            for number in range(1, WAVES + 1):
                wave(server.http_port)
                wait_until(
                    partial(has_cancelled, server, number * CLIENTS_PER_WAVE),
                    "the end of every abandoned text",
                )
                residents.append(resident_bytes(server.pid))
        finally:
            staying.set()
        assert all(stayer.result() > 0 for stayer in stayers)
    assert cancelled(server) == WAVES * CLIENTS_PER_WAVE
    wait_until(
        lambda: server.metric("quartet_generation_rows", state="active", **LABELS) == 0,
        "no row that runs",
    )
    assert server.metric("quartet_generation_rows", state="waiting", **LABELS) == 0
    assert residents[-1] - residents[0] < RESIDENT_SLACK_BYTES


def test_row_of_a_client_that_left_makes_at_most_one_more_run(text_server: ServerProcess) -> None:
    server = text_server
    runs_s = "quartet_generation_run_duration_seconds_count"
    wave(server.http_port)
    wait_until(
        lambda: server.metric("quartet_generation_rows", state="active", **LABELS) == 0,
        "no row that runs",
    )
    runs = server.metric(runs_s, kind="decode", **LABELS)
    write_text(server, 1, 16)
    # Only the new text's own run: nothing of those who left is still being written.
    assert server.metric(runs_s, kind="decode", **LABELS) == runs + 1
