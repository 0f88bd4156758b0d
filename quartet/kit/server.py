"""The server that is measured: a process of its own on free ports, or one that runs already."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from quartet.kit.connection import Address, fetch
from quartet.kit.errors import KitError
from quartet.kit.processors import running_on

POLL_S = 0.02
STOP_TIMEOUT_S = 40.0
"""The server itself gives requests in flight 30 s."""
KEPT_LINES = 40
"""Log lines kept for the error's text."""
NOT_READY = 503
KIB = 1024


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready."""

    address: Address
    pid: int | None
    """None: it runs elsewhere."""
    ready_s: float | None
    """From the start of its process."""
    command: tuple[str, ...]

    def resident_bytes(self, field: str = "VmRSS") -> int:
        """Resident size now; ``VmHWM`` is the largest so far. For ``pid`` alone."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * KIB
        raise KitError(f"/proc/{self.pid}/status has no {field}: memory is measured on Linux alone")


@contextlib.asynccontextmanager
async def started_server(
    repository: Path, settings: Mapping[str, str], cpus: frozenset[int], timeout_s: float
) -> AsyncIterator[Server]:
    """Run ``quartet serve`` on ``repository`` until the block ends.

    ``settings``: its ``QUARTET_*`` variables, of which it gets no others.

    Raises:
        KitError: it ended, did not get ready in ``timeout_s``, or could not load every model.
    """
    # Only loopback: what is measured here is nobody else's business.
    ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--host", "127.0.0.1")
    words = ("serve", "--model-repository", str(repository))
    others = {k: v for k, v in os.environ.items() if not k.startswith("QUARTET_")}
    environment = {**others, **settings}
    begin_s = time.perf_counter()
    with running_on(cpus):
        process = await _spawn((sys.executable, "-m", "quartet", *words, *ports), environment)
    log = _Log(process)
    try:
        try:
            async with asyncio.timeout(timeout_s):
                address = Address("127.0.0.1", await log.http_port())
                await _until_started(address)
        except TimeoutError:
            raise KitError(f"the server did not get ready in {timeout_s} s\n{log.text}") from None
        except KitError as error:
            raise KitError(f"while the server started: {error}\n{log.text}") from error
        ready_s = time.perf_counter() - begin_s
        await check_ready(address, repository)
        yield Server(address, process.pid, ready_s, ("quartet", *words))
    finally:
        await _stop(process)
        await log.close()


async def _spawn(
    command: tuple[str, ...], environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    """Start a process; if this is cancelled meanwhile, it does not stay behind."""
    spawning = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
    )
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        await _stop(await spawning)
        raise


async def check_ready(address: Address, repository: Path) -> None:
    """See that the server is ready and serves every model of ``repository``.

    Raises:
        KitError: it is not; the text names the models that failed, with the reasons.
    """
    failed = []
    for name in model_folders(repository):
        answer = await fetch(address, f"/v2/models/{quote(name)}/ready")
        if answer.status == NOT_READY:
            failed.append(f"{name}: {answer.error}")
    if failed:
        raise KitError("; ".join(["these models failed to load", *failed]))
    answer = await fetch(address, "/v2/health/ready")
    if answer.status != 200:
        raise KitError(f"the server is not ready: {answer.error}")


def model_folders(repository: Path) -> list[str]:
    """Names of the folders in ``repository``, as the server reads them; need not be models."""
    return sorted(f.name for f in repository.iterdir() if f.is_dir() and f.name[0] != ".")


async def _until_started(address: Address) -> None:
    """Wait until every model was tried. Raises KitError if the server ends before."""
    # Another process has no event to wait for.
    while (await fetch(address, "/v2/health/started")).status != 200:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


class _Log:
    """The server's log, read on so that it never blocks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    async def http_port(self) -> int:
        """The port, once it is open. Raises KitError if the server ends before."""
        return await asyncio.shield(self._port)

    @property
    def text(self) -> str:
        """The last lines."""
        return "\n".join(self._lines)

    async def close(self) -> None:
        """Read to the end; the process has ended."""
        await self._reader
        if self._port.done() and not self._port.cancelled():
            self._port.exception()
        else:
            self._port.cancel()

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            record = _parse(line)
            if record.get("message") == "listening" and not self._port.done():
                self._port.set_result(int(record["http"]))
        if not self._port.done():
            status = await self._process.wait()
            self._port.set_exception(KitError(f"the server ended with status {status}"))


def _parse(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
