"""The routes that carry tensors, pictures and text, as bare ASGI handlers."""

import logging
from typing import Any
from urllib.parse import parse_qsl

from serving.errors import (
    Cancelled,
    InvalidInput,
    MethodNotAllowed,
    ServingError,
    internal_error,
)
from serving.request_id import HEADER, request_id
from serving.rest.api_errors import api_error_reply
from serving.rest.captions import Captions
from serving.rest.classify import parse_classify, render_classify
from serving.rest.completions import Completions
from serving.rest.generate import parse_generate, render_generate
from serving.rest.http import (
    BINARY_TYPE,
    Receive,
    Reply,
    Scope,
    Send,
    client_host,
    compress,
    error_reply,
    header,
    read_body,
    send_reply,
    unless_client_leaves,
)
from serving.rest.image_routes import ImageRoutes
from serving.rest.infer_codec import (
    InferCall,
    check_answer_form,
    parse_infer,
    parse_raw_infer,
    render_infer,
)
from serving.rest.routes import Handler, Route, Target, is_version
from serving.rest.sse import EventStream, event, send_events
from serving.service import InferenceService
from serving.types import ClassifyRequest, InferRequest, InferResponse

JSON_LENGTH_HEADER = b"inference-header-content-length"

logger = logging.getLogger(__name__)


class HotRoutes:
    """Finds and serves them. All but pictures take POST alone.

    ``/v2/models/{m}[/versions/{v}]/infer``, ``generate`` and ``generate_stream``;
    ``/v1/classify/{m}[/versions/{v}]`` and ``/v1/captions/{m}[/versions/{v}]``;
    ``/v1/completions`` and ``/v1/sessions/{s}/completions``; those of ``ImageRoutes``.
    """

    def __init__(self, service: InferenceService, *, max_body_bytes: int) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes
        self._completions = Completions(service, max_body_bytes=max_body_bytes)
        self._captions = Captions(service, max_body_bytes=max_body_bytes)
        self._images = ImageRoutes(service, max_body_bytes=max_body_bytes)
        self._of_models: dict[str, Handler] = {
            "infer": self._infer,
            "generate": self._generate,
            "generate_stream": self._generate_stream,
        }

    def find(self, scope: Scope) -> Route | None:
        """The route of this path, or None if the rest of the application has it."""
        match scope["path"].split("/"):
            case ["", "v1", "images", *rest]:
                return self._images.find(rest)
            case ["", "v2", "models", model, verb] if verb in self._of_models:
                return Route(self._of_models[verb], Target(model))
            case ["", "v2", "models", model, "versions", version, verb] if (
                verb in self._of_models and is_version(version)
            ):
                return Route(self._of_models[verb], Target(model, version))
            case ["", "v1", "classify", model]:
                return Route(self._classify, Target(model))
            case ["", "v1", "classify", model, "versions", version] if is_version(version):
                return Route(self._classify, Target(model, version))
            case ["", "v1", "captions", model]:
                return Route(self._caption, Target(model))
            case ["", "v1", "captions", model, "versions", version] if is_version(version):
                return Route(self._caption, Target(model, version))
            case ["", "v1", "completions"]:
                return Route(self._complete, Target(), api_error_reply)
            case ["", "v1", "sessions", session, "completions"]:
                return Route(self._complete, Target(session=session), api_error_reply)
        return None

    async def serve(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the handler; whatever happens, the client gets an answer with its request id."""
        rid = request_id(header(scope, HEADER.encode()))
        extra = {"request_id": rid, "model": route.target.model}
        try:
            if scope["method"] not in route.methods:
                raise MethodNotAllowed(", ".join(route.methods))
            answer = await route.handler(scope, receive, route.target, rid)
            if isinstance(answer, EventStream):
                await unless_client_leaves(receive, send_events(send, answer, rid))
                return
            reply = answer
        except Cancelled:
            return  # nobody is left to be answered
        except ServingError as error:
            self._service.count_refused("http", error)
            if error.http_status >= 500:
                logger.warning("request failed: %s", error, extra=extra, exc_info=error.__cause__)
            reply = route.error_reply(error, rid)
        except Exception:
            logger.exception("request crashed", extra=extra)
            crash = internal_error(rid)
            self._service.count_refused("http", crash)
            reply = route.error_reply(crash, rid)
        reply = await compress(reply, header(scope, b"accept-encoding"))
        await send_reply(send, reply, rid)

    async def _infer(self, scope: Scope, receive: Receive, target: Target, rid: str) -> Reply:
        body = await read_body(scope, receive, self._max_body_bytes)
        call = self._parse_infer(scope, body, target)
        call.request.protocol = "http"
        call.request.client = client_host(scope)
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

    async def _generate(self, scope: Scope, receive: Receive, target: Target, rid: str) -> Reply:
        request = await self._generate_request(scope, receive, target, rid)
        response = await unless_client_leaves(receive, self._service.infer(request))
        return Reply(render_generate(response))

    async def _generate_stream(
        self, scope: Scope, receive: Receive, target: Target, rid: str
    ) -> EventStream[InferResponse]:
        request = await self._generate_request(scope, receive, target, rid)
        return EventStream(
            items=self._service.stream_infer(request),
            render=lambda response: event(render_generate(response)),
            end=lambda: b"",
            error=lambda error: error_reply(error, rid).body,
        )

    async def _generate_request(
        self, scope: Scope, receive: Receive, target: Target, rid: str
    ) -> InferRequest:
        body = await read_body(scope, receive, self._max_body_bytes)
        metadata = self._service.model_metadata(target.model, target.version)
        request = parse_generate(body, metadata, target.version)
        request.client = client_host(scope)
        request.request_id = rid
        return request

    async def _complete(
        self, scope: Scope, receive: Receive, target: Target, rid: str
    ) -> Reply | EventStream[Any]:
        return await self._completions.answer(scope, receive, rid, session=target.session)

    async def _caption(
        self, scope: Scope, receive: Receive, target: Target, rid: str
    ) -> Reply | EventStream[Any]:
        return await self._captions.answer(scope, receive, (target.model, target.version), rid)

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
