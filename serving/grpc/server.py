"""The gRPC server: options, services, start and graceful stop."""

import asyncio
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from quartet.config import ConfigError
from serving.grpc import health, quartet_servicer, servicer
from serving.grpc.api import InferenceApi
from serving.grpc.held_answers import AnswerGate, GuardedHandler
from serving.grpc.stream_room import StreamLimits
from serving.pb.inference import model_config_pb2, open_inference_grpc_pb2
from serving.pb.quartet.v1 import quartet_pb2
from serving.settings import GrpcSettings

HOLD_S = 0.1
"""For which answers are held before the goodbye: more than a call needs to get here."""
GOODBYE_S = 0.05
"""For which they are held after it: more than the core needs to write it to every connection."""
STREAM_IDLE_S = 2.0
"""Time without a request after which a stream that is drained is ended."""


class GrpcServer:
    """Serves an ``InferenceApi``: inference, typed calls, health, reflection."""

    def __init__(self, service: InferenceApi, settings: GrpcSettings) -> None:
        self._settings = settings
        names = (servicer.SERVICE_NAME, quartet_servicer.SERVICE_NAME, health.SERVICE_NAME)
        self._names = (*names, reflection.SERVICE_NAME) if settings.reflection else names
        self._health = health.HealthServicer(service, self._names)
        limits = StreamLimits(settings.max_stream_requests, settings.max_message_bytes)
        self._inference = servicer.InferenceServicer(service, limits)
        self._gate = AnswerGate()
        handlers = (
            self._inference.handler(),
            quartet_servicer.QuartetServicer(service).handler(),
            self._health.handler(),
        )
        self._handlers = tuple(GuardedHandler(handler, self._gate) for handler in handlers)
        self._server: Any = None

    async def start(self, host: str, port: int) -> int:
        """Listen, without encryption, and serve on the running event loop.

        Args:
            host: address or name of the interface.
            port: TCP port; 0 takes a free one.

        Returns:
            The port.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        server = grpc.aio.server(options=channel_options(self._settings))
        server.add_generic_rpc_handlers(self._handlers)
        if self._settings.reflection:
            reflection.enable_server_reflection(self._names, server, pool=_reflection_pool())
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound: int = server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError(f"gRPC cannot listen on {address}: is it in use?") from error
        await server.start()
        self._server = server
        return bound

    def start_draining(self) -> None:
        """Serve on, and tell those who watch this server's health."""
        self._health.drain()

    async def finish(self, timeout_s: float) -> None:
        """Take no new connections, send clients elsewhere, and wait for the calls in flight.

        Streams of requests are served for as long as requests come, and then end as UNAVAILABLE.

        Args:
            timeout_s: after which calls in flight are cancelled; cancel this earlier, and call
                ``stop``, to give them a status that says why.
        """
        if self._server is None:
            return
        self._gate.hold()
        try:
            await asyncio.sleep(HOLD_S)
            self._health.close()
            stopping = asyncio.ensure_future(self._server.stop(timeout_s))
            await asyncio.sleep(GOODBYE_S)
        finally:
            self._gate.release()
        await asyncio.gather(stopping, self._inference.finish(STREAM_IDLE_S))

    async def stop(self, grace_s: float) -> None:
        """Take no new calls and wait for those in flight.

        A call that meets the closing of the socket itself ends as CANCELLED; ``finish`` before
        this keeps calls from it.

        Args:
            grace_s: seconds after which calls in flight are cancelled.
        """
        self._health.close()
        self._inference.close()
        if self._server is not None:
            await self._server.stop(grace_s)


def channel_options(settings: GrpcSettings) -> list[tuple[str, int]]:
    """The settings as arguments of gRPC's core (grpc/impl/channel_arg_names.h)."""
    return [
        # Two servers on one port would share its connections silently.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.keepalive_time_ms", _ms(settings.keepalive_time_s)),
        ("grpc.keepalive_timeout_ms", _ms(settings.keepalive_timeout_s)),
        ("grpc.keepalive_permit_without_calls", int(settings.keepalive_without_calls)),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(settings.min_ping_interval_s)),
        ("grpc.http2.max_ping_strikes", settings.max_ping_strikes),
        ("grpc.max_connection_age_ms", _ms(settings.max_connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _ms(settings.max_connection_age_grace_s)),
    ]


def _reflection_pool() -> DescriptorPool:
    """Descriptors of every service served: ours live apart from those of the default pool."""
    pool = DescriptorPool()
    # In the order of their imports.
    for module in (
        model_config_pb2,
        open_inference_grpc_pb2,
        quartet_pb2,
        health_pb2,
        reflection_pb2,
    ):
        descriptor = module.DESCRIPTOR.serialized_pb
        pool.AddSerializedFile(descriptor)  # type: ignore[no-untyped-call]  # untyped in stubs
    return pool


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
