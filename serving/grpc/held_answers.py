"""Answers that wait while the server says goodbye, so that no call meets the closing door.

gRPC's core drops a call that reaches a server after its shutdown has begun: the client reads
CANCELLED. It also says goodbye (GOAWAY, RFC 9113, section 6.8) on every connection when shutdown
begins, but a client that has just got an answer may have sent its next call before it reads that.
While answers are held, such clients send nothing; and since what one connection carries keeps its
order, they read the goodbye before the answer. The next call then goes to another connection.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Final

import grpc

_SHAPES: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
"""The attributes of an RpcMethodHandler, of which one is its function."""


class AnswerGate:
    """Open, but for the moment of the goodbye."""

    def __init__(self) -> None:
        self._held: asyncio.Event | None = None

    def hold(self) -> None:
        """Let no call end until ``release``."""
        self._held = asyncio.Event()

    def release(self) -> None:
        """Let all calls end."""
        if self._held is not None:
            self._held.set()
            self._held = None

    def guard(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """``method``, a coroutine function of a gRPC handler, whose end waits while answers do."""

        async def guarded(request: Any, context: Any) -> Any:
            answer = await method(request, context)
            if self._held is not None:
                await self._held.wait()
            return answer

        return guarded


class GuardedHandler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in stubs only
    """The methods of another handler, behind a gate."""

    def __init__(self, handler: Any, gate: AnswerGate) -> None:
        """``handler`` is a generic handler. Methods that are no coroutines do not pass the gate."""
        self._handler = handler
        self._gate = gate
        self._guarded: dict[str, Any] = {}

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a call, None for an unknown method. Called for every call."""
        method = handler_call_details.method
        found = self._guarded.get(method)
        if found is None:
            found = self._handler.service(handler_call_details)
            if found is not None:
                found = self._guarded[method] = self._guard(found)
        return found

    def _guard(self, found: Any) -> Any:
        shape = next(name for name in _SHAPES if getattr(found, name) is not None)
        function = getattr(found, shape)
        if not inspect.iscoroutinefunction(function):
            return found
        return found._replace(**{shape: self._gate.guard(function)})
