"""Generated text without a model: what a wire needs of ``InferenceService``, and an ASGI client."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.errors import ServingError
from serving.generation_types import (
    FinishReason,
    GenerateRequest,
    Piece,
    Receipt,
    Replacement,
    Symbol,
    Usage,
)
from serving.rest.http import Message, Receive, Scope, Send

RECEIPT = Receipt(
    seed=7,
    model="fake",
    version="3",
    sha256="0123456789abcdef" * 4,
    provider="CPUExecutionProvider",
    precision="float32",
)
STEPS = 4
"""Symbols of a piece."""


def letter(seed: int, index: int, place: int) -> str:
    """The symbol at ``place`` of text ``index``."""
    return chr(ord("a") + (seed + 3 * index + place) % 26)


def written(seed: int, index: int, length: int) -> str:
    """The first ``length`` symbols of text ``index`` of ``seed``."""
    return "".join(letter(seed, index, place) for place in range(length))


class FakeAnswer:
    """The texts of one request, piece by piece."""

    model_version = "3"

    def __init__(self, request: GenerateRequest, service: "FakeGeneration") -> None:
        self.request = request
        self.model_name = request.model_name
        given = request.receipt.seed if request.receipt else request.seed
        seed = 7 if given is None else given
        self.receipt = Receipt(
            **{name: getattr(RECEIPT, name) for name in RECEIPT.__slots__ if name != "seed"},
            seed=seed,
        )
        self.replaced: tuple[Replacement, ...] = service.replaced
        ids = request.prompt_ids
        self.prompt = request.prompt if ids is None else "".join(chr(i) for i in ids)
        self.closed = False
        self._service = service
        self._written = 0

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=len(self.prompt), completion_tokens=self._written)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        request = self.request
        wanted = 200 if request.max_tokens is None else request.max_tokens
        if request.echo:
            for index in range(request.n):
                yield self._piece(index, self.prompt, None)
        for begin in range(0, wanted, STEPS):
            await self._service.run(self, begin)
            end = min(begin + STEPS, wanted)
            for index in range(request.n):
                self._written += end - begin
                text = written(self.receipt.seed, index, end)[begin:]
                yield self._piece(index, text, FinishReason.LENGTH if end == wanted else None)

    async def aclose(self) -> None:
        self.closed = True

    def _piece(self, index: int, text: str, reason: FinishReason | None) -> Piece:
        symbols: tuple[Symbol, ...] = ()
        if self.request.logprobs is not None:
            other = {"~": -2.5} if self.request.logprobs else {}
            symbols = tuple(Symbol(character, -0.5, other) for character in text)
        return Piece(index=index, text=text, symbols=symbols, finish_reason=reason)


@dataclass
class FakeGeneration:
    """What it did, and what it shall do."""

    refusal: ServingError | None = None
    """Raised by ``generate``."""
    refuse_from: int = 0
    """The number of the first request that is refused."""
    fault: Exception | None = None
    """Raised by the iteration, at symbol ``fault_at``."""
    fault_at: int = 0
    replaced: tuple[Replacement, ...] = ()
    gate: asyncio.Semaphore | None = None
    """Runs wait for it, if there is one."""
    answers: list[FakeAnswer] = field(default_factory=list)

    async def generate(self, request: GenerateRequest) -> FakeAnswer:
        """As ``InferenceService.generate``."""
        if self.refusal is not None and len(self.answers) >= self.refuse_from:
            raise self.refusal
        self.answers.append(FakeAnswer(request, self))
        return self.answers[-1]

    async def run(self, answer: FakeAnswer, begin: int) -> None:
        """What happens before each piece."""
        if self.gate is not None:
            await self.gate.acquire()
        await asyncio.sleep(0)
        if self.fault is not None and begin >= self.fault_at:
            raise self.fault

    @property
    def requests(self) -> list[GenerateRequest]:
        """Those that were accepted."""
        return [answer.request for answer in self.answers]


class Exchange:
    """One HTTP request to an ASGI application, watched message by message."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Any],
        path: str,
        document: object,
        *,
        method: str = "POST",
        headers: Sequence[tuple[bytes, bytes]] = (),
        query: str = "",
    ) -> None:
        self.sent: list[Message] = []
        self.left = asyncio.Event()
        """The client has gone."""
        self.arrived = asyncio.Event()
        """Something was sent since this was cleared."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._incoming = [{"type": "http.request", "body": body, "more_body": False}]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": list(headers),
            "client": ("10.0.0.9", 4711),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if self._incoming:
            return self._incoming.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self.arrived.set()

    async def finish(self) -> "Exchange":
        """Wait for the end of the answer."""
        await self.task
        return self

    @property
    def status(self) -> int:
        """The status that was sent."""
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The headers that were sent."""
        return {k.decode(): v.decode() for k, v in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        """All of the body so far."""
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def events(self) -> list[str]:
        """The data of the events so far, whose framing it checks."""
        text = self.body.decode()
        assert text == "" or text.endswith("\n\n")
        blocks = text.split("\n\n")[:-1]
        assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
        return [block.removeprefix("data: ") for block in blocks]
