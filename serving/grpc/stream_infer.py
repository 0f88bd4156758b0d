"""``ModelStreamInfer``: many requests on one call.

Answers of ordinary models leave in the order of their requests, those of decoupled ones as they
come; ``infer_response.id`` tells which is whose. A fault is a message of its own, and the stream
goes on. What a stream holds is bounded: while too many requests are in work, or their answers are
not taken, no further request is read, and HTTP/2 holds the client back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import grpc

from serving.errors import ServingError, ShuttingDown, internal_error
from serving.grpc.api import InferenceApi
from serving.grpc.calls import Call, begin, parse, refuse
from serving.grpc.converters import PROTOCOL, decode_infer, encode_infer
from serving.grpc.stream_room import Room, StreamLimits
from serving.pb.inference import open_inference_grpc_pb2 as pb
from serving.sequence_step import SEQUENCE_ID
from serving.types import InferRequest, InferResponse, ParameterValue

FINAL: Final = "triton_final_response"
"""Parameter of every answer: whether it is the last one to its request."""
EMPTY_FINAL: Final = "triton_enable_empty_final_response"
"""Parameter of a request: end with an empty answer if the last one did not say it was."""
GRPC_ERROR: Final = "triton_grpc_error"
"""Metadata of a call: a request that fails while it runs ends the stream with its status."""

_BEFORE_RUNNING: Final = frozenset(("invalid", "not_found", "rejected", "unavailable"))
"""Outcomes of requests that were never run; such a fault is always a message."""

_END: Final = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in the stubs

_SequenceKey = tuple[str, ParameterValue]
"""Model and id of a sequence."""

logger = logging.getLogger("serving.grpc")


class _Ended(Exception):
    """A fault that ends the stream with its status."""

    def __init__(self, error: ServingError) -> None:
        super().__init__(error.message)
        self.error = error


class _ClientLeft(Exception):
    """Nobody reads the answers any more."""


@dataclass(slots=True)
class _Whole:
    """The answers to one request, which wait for their turn."""

    size: int
    """Of the request, bytes."""
    messages: list[bytes] = field(default_factory=list)
    ended: _Ended | None = None
    """What ends the stream after them."""


class StreamServicer:
    """Answers the streams of one server."""

    def __init__(self, service: InferenceApi, limits: StreamLimits) -> None:
        self._service = service
        self._limits = limits
        self._open: set[_Stream] = set()

    def handler(self) -> Any:
        """The method, for a generic handler."""
        return grpc.stream_stream_rpc_method_handler(self._handle)

    def close(self) -> None:
        """Read no more requests: a stream ends as soon as those that were read are answered."""
        for stream in self._open:
            stream.close()

    async def finish(self, idle_s: float) -> None:
        """Wait until no stream is open; end each once it has had nothing to do for a while.

        Args:
            idle_s: without a request in work for so long, and without a new one, seconds.
        """
        while self._open:
            for stream in self._open:
                if stream.idle_for() > idle_s:
                    stream.close()
            await asyncio.sleep(idle_s / 20)

    async def _handle(self, _: Any, context: Any) -> None:
        call = begin(context)
        stream = _Stream(self._service, self._limits, context, call)
        self._open.add(stream)
        error: ServingError | None = None
        try:
            await stream.run()
        except* _Ended as group:
            error = next(e.error for e in group.exceptions if isinstance(e, _Ended))
        except* _ClientLeft:
            logger.debug("a client left", extra={"request_id": call.request_id})
        finally:
            self._open.discard(stream)
        # A read can also be cancelled by the client's own leaving; then nobody is there to be told.
        if error is None and stream.stopped and not stream.complete:
            error = ShuttingDown("the server is shutting down and has stopped reading this stream")
        if error is not None:
            await refuse(context, error, call)


class _Stream:
    """One call: a reader, a task for each request in work, and a writer that keeps the order."""

    def __init__(
        self, service: InferenceApi, limits: StreamLimits, context: Any, call: Call
    ) -> None:
        self._service = service
        self._context = context
        self._call = call
        self._room = Room(limits)
        self._writing = asyncio.Lock()
        self._in_order: asyncio.Queue[asyncio.Future[_Whole] | None] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        self._last_step: dict[_SequenceKey, asyncio.Task[None]] = {}
        """The newest request of each sequence of a decoupled model, while it is in work."""
        self._accepted = 0
        self._wants_status = (GRPC_ERROR, "true") in [
            (key, value) for key, value in context.invocation_metadata()
        ]
        self.complete = False
        """Whether the client has sent all that it will."""
        self.stopped = False
        """Whether ``close`` was called."""

    async def run(self) -> None:
        """Serve until all that was read is answered. Raises groups of _Ended and _ClientLeft."""
        async with asyncio.TaskGroup() as group:
            self._reader = group.create_task(self._read(group))
            group.create_task(self._write_in_order())

    def idle_for(self) -> float:
        """Time since there was a request in work, seconds."""
        return self._room.empty_for()

    def close(self) -> None:
        """Read no more requests."""
        self.stopped = True
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self, group: asyncio.TaskGroup) -> None:
        try:
            while (data := await self._context.read()) is not _END:
                await self._room.enter(len(data))
                self._accept(group, data)
            self.complete = True
        finally:
            self._in_order.put_nowait(None)

    def _accept(self, group: asyncio.TaskGroup, data: bytes) -> None:
        """Start the work on one request."""
        self._accepted += 1
        message = pb.ModelInferRequest()
        try:
            message = parse(pb.ModelInferRequest, data)
            request = decode_infer(message)
        except ServingError as error:
            refused: asyncio.Future[_Whole] = asyncio.get_running_loop().create_future()
            refused.set_result(_Whole(len(data), [self._fault(error, message.id)]))
            self._in_order.put_nowait(refused)
            return
        request.deadline = self._call.deadline
        request.client = self._call.client
        request.request_id = f"{self._call.request_id}-{self._accepted}"
        if not self._is_decoupled(request):
            self._in_order.put_nowait(group.create_task(self._answer_in_turn(request, len(data))))
            return
        key = (request.model_name, request.parameters.get(SEQUENCE_ID, 0))
        before = self._last_step.get(key) if key[1] else None
        task = group.create_task(self._answer_at_once(request, len(data), before))
        if key[1]:
            self._last_step[key] = task
            task.add_done_callback(partial(self._forget_step, key))

    def _forget_step(self, key: _SequenceKey, task: asyncio.Task[None]) -> None:
        if self._last_step.get(key) is task:
            del self._last_step[key]

    def _is_decoupled(self, request: InferRequest) -> bool:
        try:
            return self._service.is_decoupled(request.model_name, request.model_version)
        except ServingError:
            return False  # the answer, in its turn, says why

    async def _answer_at_once(
        self, request: InferRequest, size: int, before: asyncio.Task[None] | None
    ) -> None:
        """Answer, once the request ``before`` it in the same sequence has been answered."""
        if before is not None:
            await asyncio.wait([before])
        await self._serve(request, self._write)
        self._room.leave(size)

    async def _answer_in_turn(self, request: InferRequest, size: int) -> _Whole:
        whole = _Whole(size)

        async def keep(message: bytes) -> None:
            whole.messages.append(message)
            self._room.hold(len(message))

        try:
            await self._serve(request, keep)
        except _Ended as ended:
            whole.ended = ended
        return whole

    async def _write_in_order(self) -> None:
        while (answer := await self._in_order.get()) is not None:
            whole = await answer
            for message in whole.messages:
                await self._write(message)
                self._room.hold(-len(message))
            if whole.ended is not None:
                raise whole.ended
            self._room.leave(whole.size)

    async def _write(self, message: bytes) -> None:
        async with self._writing:
            try:
                await self._context.write(message)
            except grpc.aio.InternalError as error:
                raise _ClientLeft from error

    async def _serve(self, request: InferRequest, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send every answer to one request, faults included. Raises _Ended, _ClientLeft."""
        answer: InferResponse | None = None
        try:
            async with aclosing(self._service.stream_infer(request)) as answers:
                async for answer in answers:
                    await send(_encode(answer))
            if request.parameters.get(EMPTY_FINAL) is True and not (answer and answer.final):
                await send(_encode(_empty_final(request)))
        except _ClientLeft:
            raise
        except ServingError as error:
            await send(self._fault(error, request.id))
        except Exception:
            logger.exception("request crashed", extra={"request_id": request.request_id})
            await send(self._fault(internal_error(request.request_id), request.id))

    def _fault(self, error: ServingError, asked: str) -> bytes:
        """The message that tells of ``error``. Raises _Ended if the stream shall end by it."""
        self._service.count_refused(PROTOCOL, error)
        if self._wants_status and error.outcome not in _BEFORE_RUNNING:
            raise _Ended(error)
        if error.http_status >= 500:
            logger.warning(
                "request failed: %s",
                error,
                extra={"request_id": self._call.request_id},
                exc_info=error.__cause__,
            )
        message = pb.ModelStreamInferResponse(error_message=error.message)
        message.infer_response.id = asked
        message.infer_response.parameters[FINAL].bool_param = True
        return message.SerializeToString()


def _encode(response: InferResponse) -> bytes:
    message = pb.ModelStreamInferResponse()
    encode_infer(response, message.infer_response)
    message.infer_response.parameters[FINAL].bool_param = response.final
    return message.SerializeToString()


def _empty_final(request: InferRequest) -> InferResponse:
    return InferResponse(
        model_name=request.model_name,
        model_version=request.model_version,
        outputs={},
        id=request.id,
    )
