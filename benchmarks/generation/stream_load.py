"""The load generator: N clients that each stream one completion after the other.

``python -m benchmarks.generation.stream_load`` takes a ``LoadSpec`` as JSON on standard input and
gives a ``Load`` on standard output. Requests are made beforehand; every text's length is checked,
and its content where the text that the same request gives alone is known.
"""

import asyncio
import sys
import time
from collections.abc import Mapping

import orjson
from pydantic import BaseModel

from benchmarks.generation.workload import Job
from benchmarks.serving.http_wire import http_post
from benchmarks.serving.usage import measure_usage
from benchmarks.serving.wire import WireError

HOST = "127.0.0.1"
ANSWER_TIMEOUT_S = 60.0


class LoadSpec(BaseModel):
    """One closed loop."""

    port: int
    model: str
    clients: int
    jobs: list[Job]
    """Each client goes through them in turn, from a place of its own."""
    expected: dict[int, str] = {}
    """Number of a job -> the text that it must give."""
    server_pid: int
    warm_s: float
    measured_s: float


class Load(BaseModel):
    """What was measured, inside the window."""

    symbols_per_s: float
    texts: int
    """Texts that ended."""
    compared: int
    """Texts that were compared with what they must be, warm-up included."""
    first_s: list[float]
    """From sending a request to its first piece of text."""
    gaps_s: list[float]
    """Between two pieces of one text."""
    server_cores: float
    load_cores: float
    foreign_cores: float


class _Window:
    """What all clients record; only what falls inside the window counts."""

    def __init__(self) -> None:
        self.open = False
        self.symbols = 0
        self.texts = 0
        self.compared = 0
        self.first_s: list[float] = []
        self.gaps_s: list[float] = []


class _Client(asyncio.Protocol):
    """One connection: sends a request, reads its events, sends the next."""

    def __init__(self, spec: LoadSpec, requests: list[bytes], number: int, window: _Window) -> None:
        self._spec, self._requests, self._window = spec, requests, window
        self._turn = number * len(requests) // spec.clients
        self._text = ""
        self._rest = b""
        self._sent = self._last = 0.0
        self._done = False
        self.stopping = False
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(WireError(f"the server closed a connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            for line in lines:
                self._take(line, now)
        except (WireError, KeyError, ValueError) as error:
            self._fail(WireError(f"{error!r} in {data[:400]!r}"))

    def _take(self, line: bytes, now: float) -> None:
        if line.startswith(b"data: {"):
            self._piece(orjson.loads(line[6:]), now)
        elif line.startswith(b"data: [DONE]"):
            self._done = True
        elif line.startswith(b"HTTP/1.1 ") and not line.startswith(b"HTTP/1.1 200"):
            raise WireError(line.decode())
        elif line == b"0\r" and self._done:  # the last chunk
            self._end()

    def _piece(self, event: Mapping[str, object], now: float) -> None:
        if "error" in event:
            raise WireError(str(event["error"]))
        choices = event["choices"]
        assert isinstance(choices, list)
        text = choices[0]["text"] if choices else ""
        if not text:
            return
        window = self._window
        if window.open:
            window.symbols += len(text)
            if self._text:
                window.gaps_s.append(now - self._last)
            else:
                window.first_s.append(now - self._sent)
        self._text += text
        self._last = now

    def _end(self) -> None:
        number = self._turn % len(self._requests)
        job, expected = self._spec.jobs[number], self._spec.expected.get(number)
        if len(self._text) != job.max_tokens:
            raise WireError(f"{len(self._text)} characters, expected {job.max_tokens}")
        if expected is not None:
            self._window.compared += 1
            if expected != self._text:
                raise WireError(f"job {number} gave another text than alone: {self._text!r}")
        self._window.texts += self._window.open
        self._turn += 1
        if self.stopping:
            self._close()
        else:
            self._send()

    def _send(self) -> None:
        self._text, self._done = "", False
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._turn % len(self._requests)])

    def _fail(self, error: Exception) -> None:
        if not self.finished.done():
            self.finished.set_exception(error)

    def _close(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)
        self._transport.close()


async def measure(spec: LoadSpec) -> Load:
    """Run ``spec``. Raises WireError if an answer is wrong."""
    window = _Window()
    requests = [request_of(job, spec.model) for job in spec.jobs]
    loop = asyncio.get_running_loop()
    clients: list[_Client] = []
    for number in range(spec.clients):
        client = _Client(spec, requests, number, window)
        clients.append(client)
        await loop.create_connection(lambda made=client: made, HOST, spec.port)  # type: ignore[misc]
    everyone = asyncio.gather(*(client.finished for client in clients))
    await _sleep(everyone, spec.warm_s)
    before = measure_usage(spec.server_pid)
    window.open = True
    await _sleep(everyone, spec.measured_s)
    window.open = False
    usage = measure_usage(spec.server_pid).since(before)
    for client in clients:
        client.stopping = True
    await asyncio.wait_for(everyone, ANSWER_TIMEOUT_S)
    return Load(
        symbols_per_s=window.symbols / usage.time_s,
        texts=window.texts,
        compared=window.compared,
        first_s=window.first_s,
        gaps_s=window.gaps_s,
        server_cores=usage.server_s / usage.time_s,
        load_cores=usage.own_s / usage.time_s,
        foreign_cores=usage.foreign_cores,
    )


def request_of(job: Job, model: str) -> bytes:
    """The request as it goes onto the wire."""
    body = {
        "model": model,
        "prompt": job.prompt,
        "max_tokens": job.max_tokens,
        "temperature": 1.0,
        "seed": job.seed,
        "stream": True,
    }
    return http_post("/v1/completions", {"Content-Type": "application/json"}, orjson.dumps(body))


async def _sleep(failing: "asyncio.Future[list[None]]", seconds: float) -> None:
    """Wait, unless a client fails meanwhile."""
    done, _ = await asyncio.wait({failing}, timeout=seconds)
    for failed in done:
        failed.result()


if __name__ == "__main__":
    answer = asyncio.run(measure(LoadSpec.model_validate_json(sys.stdin.read())))
    sys.stdout.write(answer.model_dump_json())
