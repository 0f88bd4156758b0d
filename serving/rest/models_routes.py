"""``GET /v1/models``: what is served, in the form of the completions API."""

import time

from fastapi import APIRouter
from pydantic import BaseModel, Field

from serving.rest.completion_request import split_model
from serving.service import InferenceService

OWNER = "quartet"


class ModelBody(BaseModel):
    """One model with a ready version."""

    id: str = Field(description="Its name, or NAME:VERSION if asked for so.")
    object: str = "model"
    created: int = Field(description="Unix time at which this server began, seconds.")
    owned_by: str = OWNER
    versions: list[str] = Field(description="Ready versions; NAME:VERSION asks for one of them.")


class ModelsBody(BaseModel):
    """All models with a ready version, also those that do not write text."""

    object: str = "list"
    data: list[ModelBody]


class ApiError(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = Field(description="The field of the request that is at fault, if known.")
    code: str | None


class ApiErrorBody(BaseModel):
    """Errors of the completions API."""

    error: ApiError


def models_router(service: InferenceService) -> APIRouter:
    """The routes, bound to ``service``."""
    router = APIRouter(tags=["completions"])
    created = int(time.time())

    def body(model: str) -> ModelBody:
        metadata = service.model_metadata(*split_model(model))
        return ModelBody(id=model, created=created, versions=list(metadata.versions))

    @router.get("/v1/models")
    async def list_models() -> ModelsBody:
        """The models that are served."""
        return ModelsBody(data=[body(name) for name in service.model_names()])

    @router.get(
        "/v1/models/{model_name}",
        responses={404: {"model": ApiErrorBody, "description": "No such model or version."}},
    )
    async def retrieve_model(model_name: str) -> ModelBody:
        """One model; NAME:VERSION means that version."""
        return body(model_name)

    return router
