"""The gRPC server: options, services, start and graceful stop."""

from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from pydantic import Field

from quartet.config import Config, ConfigError
from serving.grpc import health, quartet_servicer, servicer
from serving.grpc.api import InferenceApi
from serving.pb.inference import model_config_pb2, open_inference_grpc_pb2
from serving.pb.quartet.v1 import quartet_pb2

MIB = 1024 * 1024
MAX_S = 2_000_000.0
"""gRPC counts milliseconds in 32 bits."""


class GrpcSettings(Config):
    """Limits and keep-alive of the gRPC port."""

    max_message_bytes: int = Field(default=64 * MIB, ge=1, le=2**31 - 1)
    """Largest message in or out, after decompression, bytes."""
    keepalive_time_s: float = Field(default=60.0, gt=0, le=MAX_S)
    """Silence after which the server pings a client, seconds."""
    keepalive_timeout_s: float = Field(default=20.0, gt=0, le=MAX_S)
    """Time that a client has to answer the ping before its connection is closed, seconds."""
    keepalive_without_calls: bool = True
    """Clients may ping while they have no call open; else such pings count as abuse."""
    min_ping_interval_s: float = Field(default=10.0, ge=0, le=MAX_S)
    """Shortest time between pings of a client without a call open, seconds."""
    max_ping_strikes: int = Field(default=2, ge=0)
    """Pings over that rate before the connection is closed; 0 takes any number."""
    max_connection_age_s: float = Field(default=300.0, gt=0, le=MAX_S)
    """Age at which a connection is asked to be made anew (10 % jitter), so that clients spread
    over new replicas; seconds."""
    max_connection_age_grace_s: float = Field(default=30.0, gt=0, le=MAX_S)
    """Time that calls in flight on such a connection have to finish, seconds."""
    reflection: bool = True
    """Describe the services to tools such as grpcurl."""

    def channel_options(self) -> list[tuple[str, int]]:
        """The settings as arguments of gRPC's core (grpc/impl/channel_arg_names.h)."""
        return [
            # Two servers on one port would share its connections silently.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.keepalive_time_ms", _ms(self.keepalive_time_s)),
            ("grpc.keepalive_timeout_ms", _ms(self.keepalive_timeout_s)),
            ("grpc.keepalive_permit_without_calls", int(self.keepalive_without_calls)),
            ("grpc.http2.min_ping_interval_without_data_ms", _ms(self.min_ping_interval_s)),
            ("grpc.http2.max_ping_strikes", self.max_ping_strikes),
            ("grpc.max_connection_age_ms", _ms(self.max_connection_age_s)),
            ("grpc.max_connection_age_grace_ms", _ms(self.max_connection_age_grace_s)),
        ]


class GrpcServer:
    """Serves an ``InferenceApi``: inference, typed calls, health, reflection."""

    def __init__(self, service: InferenceApi, settings: GrpcSettings) -> None:
        self._settings = settings
        names = (servicer.SERVICE_NAME, quartet_servicer.SERVICE_NAME, health.SERVICE_NAME)
        self._names = (*names, reflection.SERVICE_NAME) if settings.reflection else names
        self._health = health.HealthServicer(service, self._names)
        self._handlers = (
            servicer.InferenceServicer(service).handler(),
            quartet_servicer.QuartetServicer(service).handler(),
            self._health.handler(),
        )
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
        server = grpc.aio.server(options=self._settings.channel_options())
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

    async def stop(self, grace_s: float) -> None:
        """Take no new calls and wait for those in flight.

        A call that meets the closing of the socket itself ends as CANCELLED, so let the service
        refuse new work first: then late calls read UNAVAILABLE.

        Args:
            grace_s: seconds after which calls in flight are cancelled.
        """
        self._health.close()
        if self._server is not None:
            await self._server.stop(grace_s)


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
