"""Health and metadata of the Open Inference Protocol, as FastAPI routes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from serving.errors import ModelNotReady
from serving.rest.message_json import message_body
from serving.service import InferenceService
from serving.types import ModelMetadata, TensorSpec

ModelName = Annotated[str, Path(description="Name of the model.")]


async def _number(
    model_version: Annotated[str, Path(description="Version, a positive integer.")],
) -> str:
    """The version as text; the path of one that is no number does not exist.

    Starlette's own ``:int`` fails on thousands of digits, which Python refuses to convert.
    """
    if not (model_version.isascii() and model_version.isdecimal()):
        raise HTTPException(404)
    return model_version


ModelVersion = Annotated[str, Depends(_number)]


class LiveBody(BaseModel):
    """Whether the process works."""

    live: bool


class StartedBody(BaseModel):
    """Whether every model has been tried."""

    started: bool


class ReadyBody(BaseModel):
    """Whether requests should be sent here."""

    ready: bool
    error: str | None = Field(default=None, description="Why not, if not.")


class ModelReadyBody(BaseModel):
    """Whether a model serves."""

    name: str
    ready: bool


class ServerMetadataBody(BaseModel):
    """The server and the protocol extensions that are switched on."""

    name: str
    version: str
    extensions: list[str]


class TensorBody(BaseModel):
    """One tensor that a model takes or gives; -1 marks a size that the client may choose."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadataBody(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorBody]
    outputs: list[TensorBody]
    properties: dict[str, str]


class ErrorBody(BaseModel):
    """Every error of this server."""

    error: str
    request_id: str


_MODEL_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "No such model or version."},
    503: {"model": ErrorBody, "description": "It is loading, or failed to load."},
}


def v2_router(service: InferenceService) -> APIRouter:
    """The routes, bound to ``service``."""
    router = APIRouter(tags=["Open Inference Protocol"])
    _add_server_routes(router, service)
    _add_inspection_routes(router, service)
    _add_model_routes(router, service)
    return router


def _add_server_routes(router: APIRouter, service: InferenceService) -> None:
    @router.get("/v2", response_model=ServerMetadataBody)
    @router.get("/v2/", include_in_schema=False)
    async def server_metadata() -> ServerMetadataBody:
        """Name, version and extensions of the server."""
        metadata = service.server_metadata()
        return ServerMetadataBody(
            name=metadata.name, version=metadata.version, extensions=list(metadata.extensions)
        )

    @router.get("/v2/health/live", response_model=LiveBody)
    async def server_live() -> LiveBody:
        """For liveness probes: the process works. Stays true while the server drains."""
        return LiveBody(live=service.live())

    @router.get(
        "/v2/health/started",
        response_model=StartedBody,
        responses={503: {"model": StartedBody, "description": "Models are being loaded."}},
    )
    async def server_started() -> Response:
        """For startup probes: every model has been tried, whether or not it could be loaded."""
        started = service.started()
        return JSONResponse({"started": started}, 200 if started else 503)

    @router.get(
        "/v2/health/ready",
        response_model=ReadyBody,
        responses={503: {"model": ReadyBody, "description": "Not ready; the body says why."}},
    )
    async def server_ready() -> Response:
        """For readiness probes: models are loaded and the server is not shutting down."""
        if service.ready():
            return JSONResponse({"ready": True})
        return JSONResponse({"ready": False, "error": service.why_not_ready()}, 503)


def _add_model_routes(router: APIRouter, service: InferenceService) -> None:
    @router.get(
        "/v2/models/{model_name}/ready", response_model=ModelReadyBody, responses=_MODEL_ERRORS
    )
    async def model_ready(model_name: ModelName) -> Response:
        """Whether any version of the model serves."""
        return _model_ready(service, model_name, "")

    @router.get(
        "/v2/models/{model_name}/versions/{model_version}/ready",
        response_model=ModelReadyBody,
        responses=_MODEL_ERRORS,
    )
    async def version_ready(model_name: ModelName, model_version: ModelVersion) -> Response:
        """Whether this version of the model serves."""
        return _model_ready(service, model_name, model_version)

    @router.get("/v2/models/{model_name}", responses=_MODEL_ERRORS)
    async def model_metadata(model_name: ModelName) -> ModelMetadataBody:
        """Inputs, outputs, ready versions, and the execution provider that really runs."""
        return _metadata_body(service.model_metadata(model_name))

    @router.get("/v2/models/{model_name}/versions/{model_version}", responses=_MODEL_ERRORS)
    async def version_metadata(
        model_name: ModelName, model_version: ModelVersion
    ) -> ModelMetadataBody:
        """The same of one version."""
        return _metadata_body(service.model_metadata(model_name, model_version))


def _add_inspection_routes(router: APIRouter, service: InferenceService) -> None:
    @router.get("/v2/models/{model_name}/config", responses=_MODEL_ERRORS)
    async def model_config(model_name: ModelName) -> dict[str, Any]:
        """The effective configuration, with the names of Triton's ``config.pbtxt``."""
        return message_body(service.model_config(model_name))

    @router.get("/v2/models/{model_name}/versions/{model_version}/config", responses=_MODEL_ERRORS)
    async def version_config(model_name: ModelName, model_version: ModelVersion) -> dict[str, Any]:
        """The same of one version."""
        return message_body(service.model_config(model_name, model_version))

    @router.get("/v2/models/stats")
    async def all_statistics() -> dict[str, Any]:
        """Cumulative counts and nanoseconds of every ready version."""
        return {"model_stats": service.model_statistics()}

    @router.get("/v2/models/{model_name}/stats", responses=_MODEL_ERRORS)
    async def model_statistics(model_name: ModelName) -> dict[str, Any]:
        """The same of one model."""
        return {"model_stats": service.model_statistics(model_name)}

    @router.get("/v2/models/{model_name}/versions/{model_version}/stats", responses=_MODEL_ERRORS)
    async def version_statistics(
        model_name: ModelName, model_version: ModelVersion
    ) -> dict[str, Any]:
        """The same of one version."""
        return {"model_stats": service.model_statistics(model_name, model_version)}


def _model_ready(service: InferenceService, name: str, version: str) -> Response:
    if service.model_ready(name, version):
        return JSONResponse({"name": name, "ready": True})
    raise ModelNotReady("the server is shutting down")


def _metadata_body(metadata: ModelMetadata) -> ModelMetadataBody:
    return ModelMetadataBody(
        name=metadata.name,
        versions=list(metadata.versions),
        platform=metadata.platform,
        inputs=[_tensor_body(spec) for spec in metadata.inputs],
        outputs=[_tensor_body(spec) for spec in metadata.outputs],
        properties=dict(metadata.properties),
    )


def _tensor_body(spec: TensorSpec) -> TensorBody:
    return TensorBody(name=spec.name, datatype=spec.datatype.wire, shape=list(spec.shape))
