"""The REST application: hot routes in front, FastAPI for the rest, one OpenAPI document."""

import logging
from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from quartet import __version__
from serving.errors import InvalidInput, ServingError, internal_error
from serving.metrics import Metrics
from serving.request_id import HEADER, request_id
from serving.rest.api_errors import api_error_reply
from serving.rest.hot_routes import JSON_LENGTH_HEADER, HotRoutes
from serving.rest.http import (
    Message,
    Receive,
    Reply,
    Scope,
    Send,
    error_reply,
    header,
)
from serving.rest.image_models import image_models_router
from serving.rest.images_response import TOLD_HEADERS
from serving.rest.models_routes import models_router
from serving.rest.openapi import document_hot_routes
from serving.rest.sessions import sessions_router
from serving.rest.v2_routes import v2_router
from serving.service import InferenceService

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

logger = logging.getLogger(__name__)


class RestApp:
    """The ASGI application of the HTTP port."""

    def __init__(
        self,
        service: InferenceService,
        metrics: Metrics,
        *,
        max_body_bytes: int,
        cors_origins: Sequence[str] = (),
    ) -> None:
        """``cors_origins``: web pages of these origins may call; ``*`` means all of them."""
        self.fastapi = build_fastapi(service, metrics, max_body_bytes=max_body_bytes)
        self._hot = HotRoutes(service, max_body_bytes=max_body_bytes)
        self._serve: ASGIApp = self._route
        if cors_origins:
            self._serve = CORSMiddleware(
                self._route,
                allow_origins=cors_origins,
                allow_methods=("GET", "HEAD", "POST", "DELETE"),
                allow_headers=("*",),
                expose_headers=(
                    *(HEADER, "retry-after", "etag", JSON_LENGTH_HEADER.decode()),
                    *TOLD_HEADERS,
                ),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        await self._serve(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            found = self._hot.find(scope)
            if found is not None:
                await self._hot.serve(found, scope, receive, send)
                return
            send = _with_request_id(scope, send)
        await self.fastapi(scope, receive, send)


def _with_request_id(scope: Scope, send: Send) -> Send:
    """``send``, with the request id in the answer's headers where an error has not put it."""

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            name = HEADER.encode()
            if all(key != name for key, _ in message["headers"]):
                rid = request_id(header(scope, name))
                message["headers"] = [*message["headers"], (name, rid.encode())]
        await send(message)

    return send_with_id


def build_fastapi(service: InferenceService, metrics: Metrics, *, max_body_bytes: int) -> FastAPI:
    """Health, metadata, sessions, metrics and the API's documentation."""
    # FastAPI's own pages load their scripts from a network of servers that clusters cannot reach.
    app = FastAPIOffline(
        title="Quartet",
        version=__version__,
        summary="Inference over the Open Inference Protocol, and typed routes for pictures.",
        redirect_slashes=False,
    )
    app.include_router(v2_router(service))
    app.include_router(models_router(service))
    app.include_router(image_models_router(service))
    app.include_router(sessions_router(service, max_body_bytes=max_body_bytes))

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def prometheus_metrics() -> Response:
        """All metrics in Prometheus' text format."""
        return Response(metrics.render(), media_type=METRICS_TYPE)

    _add_error_handlers(app)
    document_hot_routes(app)
    return app


class MetricsApp:
    """The ASGI application of the metrics port: GET /metrics alone."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/metrics" and scope["method"] in ("GET", "HEAD"):
            response = Response(self._metrics.render(), media_type=METRICS_TYPE)
        else:
            response = Response(
                b'{"error":"Not Found; this port serves GET /metrics"}',
                404,
                media_type="application/json",
            )
        await response(scope, receive, send)


def _add_error_handlers(app: FastAPI) -> None:
    """Every error body is ``{"error": text}``, from whichever layer it comes.

    Those of the completions API have its own form. The handlers are coroutines, as all of this
    application: Starlette runs others on threads.
    """

    def reply_to(request: Request, error: ServingError, rid: str) -> Reply:
        of_api = request.url.path.startswith("/v1/models")
        return (api_error_reply if of_api else error_reply)(error, rid)

    def respond(reply: Reply, rid: str) -> Response:
        headers = {key.decode(): value.decode() for key, value in reply.headers}
        return Response(
            reply.body,
            reply.status,
            {**headers, HEADER: rid},
            media_type=reply.content_type.decode(),
        )

    async def on_serving_error(request: Request, error: Exception) -> Response:
        rid = request_id(request.headers.get(HEADER))
        if not isinstance(error, ServingError):
            raise error
        return respond(reply_to(request, error, rid), rid)

    async def on_http_error(request: Request, error: Exception) -> Response:
        rid = request_id(request.headers.get(HEADER))
        if not isinstance(error, HTTPException):
            raise error
        reply = reply_to(request, InvalidInput(str(error.detail)), rid)
        reply.status = error.status_code
        reply.headers = tuple(
            (k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items()
        )
        return respond(reply, rid)

    async def on_crash(request: Request, error: Exception) -> Response:
        rid = request_id(request.headers.get(HEADER))
        logger.error("request crashed", extra={"request_id": rid}, exc_info=error)
        return respond(reply_to(request, internal_error(rid), rid), rid)

    app.add_exception_handler(ServingError, on_serving_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_crash)
