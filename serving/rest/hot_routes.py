"""The routes that carry tensors and pictures, as bare ASGI handlers."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from serving.errors import (
    Cancelled,
    InvalidInput,
    MethodNotAllowed,
    ServingError,
    internal_error,
)
from serving.request_id import HEADER, request_id
from serving.rest.classify import parse_classify, render_classify
from serving.rest.http import (
    BINARY_TYPE,
    Receive,
    Reply,
    Scope,
    Send,
    compress,
    error_reply,
    header,
    read_body,
    send_reply,
    unless_client_leaves,
)
from serving.rest.infer_codec import (
    InferCall,
    check_answer_form,
    parse_infer,
    parse_raw_infer,
    render_infer,
)
from serving.service import InferenceService
from serving.types import ClassifyRequest

JSON_LENGTH_HEADER = b"inference-header-content-length"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """The model and version that a URL names."""

    model: str
    version: str = ""


Handler = Callable[[Scope, Receive, Target, str], Awaitable[Reply]]


class HotRoutes:
    """Finds and serves ``POST /v2/models/{m}[/versions/{v}]/infer`` and ``/v1/classify/{m}``."""

    def __init__(self, service: InferenceService, *, max_body_bytes: int) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes

    def find(self, scope: Scope) -> tuple[Handler, Target] | None:
        """The handler for this path, or None if the rest of the application has it."""
        parts = scope["path"].split("/")
        match parts:
            case ["", "v2", "models", model, "infer"]:
                return self._infer, Target(model)
            case ["", "v2", "models", model, "versions", version, "infer"] if _is_number(version):
                return self._infer, Target(model, version)
            case ["", "v1", "classify", model]:
                return self._classify, Target(model)
            case ["", "v1", "classify", model, "versions", version] if _is_number(version):
                return self._classify, Target(model, version)
        return None

    async def serve(
        self, handler: Handler, target: Target, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run ``handler``; whatever happens, the client gets an answer with its request id."""
        rid = request_id(header(scope, HEADER.encode()))
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed("POST")
            reply = await handler(scope, receive, target, rid)
        except Cancelled:
            return  # nobody is left to be answered
        except ServingError as error:
            self._service.count_refused("http", error)
            if error.http_status >= 500:
                logger.warning(
                    "request failed: %s",
                    error,
                    extra={"request_id": rid, "model": target.model},
                    exc_info=error.__cause__,
                )
            reply = error_reply(error, rid)
        except Exception:
            logger.exception("request crashed", extra={"request_id": rid, "model": target.model})
            crash = internal_error(rid)
            self._service.count_refused("http", crash)
            reply = error_reply(crash, rid)
        await send_reply(send, compress(reply, header(scope, b"accept-encoding")), rid)

    async def _infer(self, scope: Scope, receive: Receive, target: Target, rid: str) -> Reply:
        body = await read_body(scope, receive, self._max_body_bytes)
        call = self._parse_infer(scope, body, target)
        call.request.protocol = "http"
        call.request.request_id = rid
        response = await unless_client_leaves(receive, self._service.infer(call.request))
        text, json_length = render_infer(call, response)
        if json_length is None:
            return Reply(text)
        length_header = (b"inference-header-content-length", b"%d" % json_length)
        return Reply(text, content_type=BINARY_TYPE, headers=(length_header,))

    def _parse_infer(self, scope: Scope, body: bytes, target: Target) -> InferCall:
        json_length = _json_length(header(scope, JSON_LENGTH_HEADER), len(body))
        if json_length == 0 and body:
            metadata = self._service.model_metadata(target.model, target.version)
            return parse_raw_infer(body, metadata, target.version)
        call = parse_infer(body, json_length, target.model, target.version)
        if not call.binary_default:
            metadata = self._service.model_metadata(target.model, target.version)
            check_answer_form(call, metadata.outputs)
        return call

    async def _classify(self, scope: Scope, receive: Receive, target: Target, rid: str) -> Reply:
        body = await read_body(scope, receive, self._max_body_bytes)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        parsed = parse_classify(body, header(scope, b"content-type") or "", query)
        request = ClassifyRequest(
            model_name=target.model,
            model_version=target.version,
            images=parsed.images,
            top_k=parsed.top_k,
            protocol="http",
            request_id=rid,
        )
        response = await unless_client_leaves(receive, self._service.classify(request))
        return Reply(render_classify(response, many=parsed.many))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _json_length(value: str | None, body_length: int) -> int | None:
    if value is None:
        return None
    try:
        length = int(value)
    except ValueError:
        raise InvalidInput(
            f"Unable to parse Inference-Header-Content-Length: {value!r} is not a whole number"
        ) from None
    if not 0 <= length <= body_length:
        raise InvalidInput(
            f"inference header size should be in range (0, {body_length}), got: {length}"
        )
    return length
