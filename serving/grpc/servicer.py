"""``inference.GRPCInferenceService``: the methods of the Open Inference Protocol."""

from functools import partial
from typing import Any

import grpc

from serving.errors import ModelNotFound, ModelNotReady
from serving.grpc.api import InferenceApi
from serving.grpc.calls import Call, unary
from serving.grpc.converters import PROTOCOL, decode_infer, encode_infer, encode_model_metadata
from serving.grpc.stream_infer import StreamServicer
from serving.grpc.stream_room import StreamLimits
from serving.pb.inference import open_inference_grpc_pb2 as pb

SERVICE_NAME = "inference.GRPCInferenceService"


class InferenceServicer:
    """Answers the protocol's methods from an ``InferenceApi``."""

    def __init__(self, service: InferenceApi, limits: StreamLimits) -> None:
        """``limits`` are those of one stream."""
        self._service = service
        self._streams = StreamServicer(service, limits)

    def handler(self) -> Any:
        """The methods, for ``grpc.aio.Server.add_generic_rpc_handlers``."""
        count = partial(self._service.count_refused, PROTOCOL)
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "ServerLive": unary(pb.ServerLiveRequest, self.server_live),
                "ServerReady": unary(pb.ServerReadyRequest, self.server_ready),
                "ModelReady": unary(pb.ModelReadyRequest, self.model_ready),
                "ServerMetadata": unary(pb.ServerMetadataRequest, self.server_metadata),
                "ModelMetadata": unary(pb.ModelMetadataRequest, self.model_metadata),
                "ModelInfer": unary(pb.ModelInferRequest, self.model_infer, count),
                "ModelStreamInfer": self._streams.handler(),
                "ModelConfig": unary(pb.ModelConfigRequest, self.model_config),
                "ModelStatistics": unary(pb.ModelStatisticsRequest, self.model_statistics),
            },
        )

    async def finish(self, idle_s: float) -> None:
        """End each stream once it has had nothing to do for ``idle_s`` seconds."""
        await self._streams.finish(idle_s)

    def close(self) -> None:
        """End each stream once what was read from it is answered; it would hold up a drain."""
        self._streams.close()

    async def server_live(self, _: pb.ServerLiveRequest, __: Call) -> pb.ServerLiveResponse:
        """Whether the process works at all."""
        return pb.ServerLiveResponse(live=self._service.live())

    async def server_ready(self, _: pb.ServerReadyRequest, __: Call) -> pb.ServerReadyResponse:
        """Whether requests should be sent here; never an error, clients expect an answer."""
        return pb.ServerReadyResponse(ready=self._service.ready())

    async def model_ready(self, request: pb.ModelReadyRequest, _: Call) -> pb.ModelReadyResponse:
        """Whether a model serves; one that is unknown or not loaded does not, without an error."""
        try:
            ready = self._service.model_ready(request.name, request.version)
        except (ModelNotFound, ModelNotReady):
            ready = False
        return pb.ModelReadyResponse(ready=ready)

    async def server_metadata(
        self, _: pb.ServerMetadataRequest, __: Call
    ) -> pb.ServerMetadataResponse:
        """Name, version and extensions of the server."""
        metadata = self._service.server_metadata()
        return pb.ServerMetadataResponse(
            name=metadata.name, version=metadata.version, extensions=metadata.extensions
        )

    async def model_metadata(
        self, request: pb.ModelMetadataRequest, _: Call
    ) -> pb.ModelMetadataResponse:
        """Inputs and outputs of a model."""
        return encode_model_metadata(self._service.model_metadata(request.name, request.version))

    async def model_infer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        """Run tensors through a model."""
        decoded = decode_infer(request)
        decoded.deadline = call.deadline
        decoded.client = call.client
        decoded.request_id = call.request_id
        return encode_infer(await self._service.infer(decoded))

    async def model_config(self, request: pb.ModelConfigRequest, _: Call) -> pb.ModelConfigResponse:
        """The configuration of a model in effect."""
        return pb.ModelConfigResponse(
            config=self._service.model_config(request.name, request.version)
        )

    async def model_statistics(
        self, request: pb.ModelStatisticsRequest, _: Call
    ) -> pb.ModelStatisticsResponse:
        """Counts and durations of a model, or of all."""
        return pb.ModelStatisticsResponse(
            model_stats=[
                pb.ModelStatistics(**statistics)
                for statistics in self._service.model_statistics(request.name, request.version)
            ]
        )
