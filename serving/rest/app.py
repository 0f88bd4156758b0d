"""The REST application: hot routes in front, FastAPI for the rest, one OpenAPI document."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from quartet import __version__
from serving.errors import ServingError, internal_error
from serving.metrics import Metrics
from serving.request_id import HEADER, request_id
from serving.rest.classify_openapi import openapi_operation
from serving.rest.hot_routes import HotRoutes
from serving.rest.http import (
    Message,
    Receive,
    Reply,
    Scope,
    Send,
    error_reply,
    header,
)
from serving.rest.infer_openapi import infer_operation
from serving.rest.v2_routes import v2_router
from serving.service import InferenceService

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

logger = logging.getLogger(__name__)


class RestApp:
    """The ASGI application of the HTTP port."""

    def __init__(self, service: InferenceService, metrics: Metrics, *, max_body_bytes: int) -> None:
        self.fastapi = build_fastapi(service, metrics)
        self._hot = HotRoutes(service, max_body_bytes=max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] == "http":
            found = self._hot.find(scope)
            if found is not None:
                await self._hot.serve(*found, scope, receive, send)
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


def build_fastapi(service: InferenceService, metrics: Metrics) -> FastAPI:
    """Health, metadata, metrics and the API's documentation."""
    # FastAPI's own pages load their scripts from a network of servers that clusters cannot reach.
    app = FastAPIOffline(
        title="Quartet",
        version=__version__,
        summary="Inference over the Open Inference Protocol, and typed routes for pictures.",
        redirect_slashes=False,
    )
    app.include_router(v2_router(service))

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def prometheus_metrics() -> Response:
        """All metrics in Prometheus' text format."""
        return Response(metrics.render(), media_type=METRICS_TYPE)

    _add_error_handlers(app)
    _document_hot_routes(app)
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

    The handlers are coroutines, as all of this application: Starlette runs others on threads.
    """

    def respond(request: Request, reply: Reply, rid: str) -> Response:
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
        return respond(request, error_reply(error, rid), rid)

    async def on_http_error(request: Request, error: Exception) -> Response:
        rid = request_id(request.headers.get(HEADER))
        if not isinstance(error, HTTPException):
            raise error
        reply = error_reply(ServingError(str(error.detail)), rid)
        reply.status = error.status_code
        reply.headers = tuple(
            (k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items()
        )
        return respond(request, reply, rid)

    async def on_crash(request: Request, error: Exception) -> Response:
        rid = request_id(request.headers.get(HEADER))
        logger.error("request crashed", extra={"request_id": rid}, exc_info=error)
        return respond(request, error_reply(internal_error(rid), rid), rid)

    app.add_exception_handler(ServingError, on_serving_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_crash)


def _document_hot_routes(app: FastAPI) -> None:
    """Write the routes that FastAPI does not see into its OpenAPI document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes
            )
            paths = document["paths"]
            _drop_validation_errors(document)
            for versioned, suffix in ((False, ""), (True, "/versions/{model_version}")):
                paths[f"/v1/classify/{{model_name}}{suffix}"] = {
                    "post": openapi_operation(versioned=versioned)
                }
                paths[f"/v2/models/{{model_name}}{suffix}/infer"] = {
                    "post": infer_operation(versioned=versioned)
                }
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _drop_validation_errors(document: dict[str, Any]) -> None:
    """Take out FastAPI's own 422: version numbers are checked by the route's path already."""
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    for schema in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(schema, None)
