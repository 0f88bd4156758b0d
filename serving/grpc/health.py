"""``grpc.health.v1.Health``: liveness of the server, of its services and of each model.

The service name asked for is "" for the server, one of its gRPC services, or a model's name.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb

from serving.errors import ModelNotFound, ServingError
from serving.grpc.api import InferenceApi
from serving.grpc.calls import Call, begin, parse, refuse, unary

SERVICE_NAME = "grpc.health.v1.Health"


class HealthServicer:
    """Answers health checks from an ``InferenceApi``."""

    def __init__(
        self, service: InferenceApi, service_names: Collection[str], watch_interval_s: float = 1.0
    ) -> None:
        """Wire the parts together.

        Args:
            service: where readiness is read.
            service_names: gRPC services that share the server's readiness.
            watch_interval_s: time within which Watch reports a change, seconds.
        """
        self._service = service
        self._server_names = frozenset(("", *service_names))
        self._watch_interval_s = watch_interval_s
        self._draining = asyncio.Event()
        self._closed = asyncio.Event()

    def handler(self) -> Any:
        """The methods, for ``grpc.aio.Server.add_generic_rpc_handlers``."""
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Check": unary(pb.HealthCheckRequest, self.check),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
            },
        )

    def drain(self) -> None:
        """Report NOT_SERVING from now on, to those who watch without delay."""
        self._draining.set()

    def close(self) -> None:
        """Report NOT_SERVING from now on and end every Watch, which would hold up a drain."""
        self._draining.set()
        self._closed.set()

    async def check(self, request: pb.HealthCheckRequest, _: Call) -> pb.HealthCheckResponse:
        """The status now. Raises ModelNotFound for a name that is neither service nor model."""
        status = self._status(request.service)
        if status == pb.HealthCheckResponse.SERVICE_UNKNOWN:
            raise ModelNotFound(f"unknown service or model '{request.service}'")
        return pb.HealthCheckResponse(status=status)

    async def watch(self, name: str) -> AsyncIterator[pb.HealthCheckResponse]:
        """The status now and whenever it has changed, SERVICE_UNKNOWN included."""
        last = None
        while True:
            closed = self._closed.is_set()
            status = self._status(name)
            if status != last:
                last = status
                yield pb.HealthCheckResponse(status=status)
            if closed:
                return
            woken = self._closed if self._draining.is_set() else self._draining
            try:
                await asyncio.wait_for(woken.wait(), self._watch_interval_s)
            except TimeoutError:
                continue

    async def _watch(self, data: bytes, context: Any) -> AsyncIterator[bytes]:
        call = begin(context)
        try:
            async for response in self.watch(parse(pb.HealthCheckRequest, data).service):
                yield response.SerializeToString()
        except ServingError as error:
            await refuse(context, error, call)

    def _status(self, name: str) -> pb.HealthCheckResponse.ServingStatus:
        if self._draining.is_set():
            return pb.HealthCheckResponse.NOT_SERVING
        try:
            server = name in self._server_names
            serving = self._service.ready() if server else self._service.model_ready(name)
        except ModelNotFound:
            return pb.HealthCheckResponse.SERVICE_UNKNOWN
        except ServingError:
            serving = False
        return pb.HealthCheckResponse.SERVING if serving else pb.HealthCheckResponse.NOT_SERVING
