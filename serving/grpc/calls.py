"""One call from its first byte to its status: id, deadline, parsing, errors.

Handlers take and give bytes. A message that cannot be parsed is then answered as any other fault
of the client is, instead of with gRPC's own UNKNOWN. There are no interceptors: one costs a task
step a request, and what they would do is a few lines here.
"""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message

from serving.errors import InvalidInput, ServingError, internal_error
from serving.request_id import HEADER, request_id

MAX_DETAILS_CHARS = 800
"""Longest status text. It travels in a header, and clients refuse headers over 8 KiB."""
PUSHBACK_HEADER = "grpc-retry-pushback-ms"
"""Tells a client with a retry policy when to come again (gRFC A6)."""

_NO_DEADLINE_S = 1e9
"""Without a deadline grpcio reports a huge number of seconds, older versions None."""

RequestT = TypeVar("RequestT", bound=Message)

logger = logging.getLogger("serving.grpc")


@dataclass(slots=True)
class Call:
    """What the transport knows of a call beside its message."""

    request_id: str
    deadline: float | None
    """``time.monotonic()`` time after which the client no longer waits; None: it waits for ever."""
    client: str
    """Address of the host that called, as HTTP has it; empty if it has none."""


def _uncounted(error: ServingError) -> None:
    """A failed look at health or metadata is no failed inference."""


def unary(
    request_type: type[RequestT],
    method: Callable[[RequestT, Call], Awaitable[Message]],
    count: Callable[[ServingError], None] = _uncounted,
) -> Any:
    """The grpc handler (``RpcMethodHandler``) of a method with one request and one response.

    Args:
        request_type: the message to parse.
        method: what answers it; raises ServingError for a fault that the client may read.
        count: told of every failure but the client's own leaving.
    """

    async def handle(data: bytes, context: Any) -> bytes:
        call = begin(context)
        try:
            request = parse(request_type, data)
            return (await method(request, call)).SerializeToString()
        except ServingError as error:
            count(error)
            await refuse(context, error, call)
        except Exception:
            logger.exception("request crashed", extra={"request_id": call.request_id})
            crash = internal_error(call.request_id)
            count(crash)
            await abort(context, crash, call)

    return grpc.unary_unary_rpc_method_handler(handle)


def unary_stream(
    request_type: type[RequestT],
    method: Callable[[RequestT, Call], AsyncGenerator[Message, None]],
    count: Callable[[ServingError], None] = _uncounted,
) -> Any:
    """The grpc handler of a method with one request and any number of responses.

    A response is made when the one before has been taken by the transport, whose buffer is bounded.

    Args:
        request_type: the message to parse.
        method: what answers it; it is closed when the client leaves.
        count: as in ``unary``.
    """

    async def handle(data: bytes, context: Any) -> None:
        call = begin(context)
        try:
            async with aclosing(method(parse(request_type, data), call)) as responses:
                async for response in responses:
                    await context.write(response.SerializeToString())
        except ServingError as error:
            count(error)
            await refuse(context, error, call)
        except grpc.aio.InternalError:
            logger.debug("a client left", extra={"request_id": call.request_id})
        except Exception:
            logger.exception("request crashed", extra={"request_id": call.request_id})
            crash = internal_error(call.request_id)
            count(crash)
            await abort(context, crash, call)

    return grpc.unary_stream_rpc_method_handler(handle)


def begin(context: Any) -> Call:
    """Read id, deadline and caller of a call; its id goes back in the trailing metadata."""
    offered = None
    for key, value in context.invocation_metadata():
        if key == HEADER:
            offered = value
    call_id = request_id(offered)
    context.set_trailing_metadata(((HEADER, call_id),))
    remaining_s = context.time_remaining()
    waits = remaining_s is not None and remaining_s <= _NO_DEADLINE_S
    return Call(call_id, time.monotonic() + remaining_s if waits else None, host_of(context.peer()))


def host_of(peer: str) -> str:
    """The host of ``ipv4:HOST:PORT`` or ``ipv6:[HOST]:PORT``, whose brackets may be escaped."""
    kind, _, address = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return unquote(address.rpartition(":")[0]).strip("[]")


def parse(request_type: type[RequestT], data: bytes) -> RequestT:
    """Decode a message. Raises InvalidInput."""
    try:
        return request_type.FromString(data)
    except DecodeError as error:
        raise InvalidInput(
            f"the message is not a valid {request_type.DESCRIPTOR.full_name}"
        ) from error


async def refuse(context: Any, error: ServingError, call: Call) -> NoReturn:
    """End the call with the status of ``error``, and log it if the server is at fault."""
    if error.http_status >= 500:
        logger.warning(
            "request failed: %s",
            error,
            extra={"request_id": call.request_id},
            exc_info=error.__cause__,
        )
    await abort(context, error, call)


async def abort(context: Any, error: ServingError, call: Call) -> NoReturn:
    """End the call with the status of ``error``: the one mapping of errors to gRPC."""
    metadata: tuple[tuple[str, str], ...] = ((HEADER, call.request_id),)
    if error.retry_after_s is not None:
        metadata += ((PUSHBACK_HEADER, str(round(error.retry_after_s * 1000))),)
    await context.abort(
        grpc.StatusCode[error.grpc_code], _shortened(error.message), trailing_metadata=metadata
    )
    raise AssertionError("abort raises")


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_DETAILS_CHARS else text[: MAX_DETAILS_CHARS - 3] + "..."
