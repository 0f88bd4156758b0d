"""``GET /v1/images``: what makes pictures here, and what it can be asked for."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from quartet.image_generation import Direction
from serving.errors import NotSupported
from serving.service import InferenceService
from serving.tasks.image_generation import ImageGenerator


class DirectionBody(BaseModel):
    """A way through the noise that changes one thing."""

    name: str = Field(description="What becomes more: a value of 'direction'.")
    opposite: str | None = Field(description="What becomes more the other way, if it has a name.")


class ImageModelBody(BaseModel):
    """One ready version of a model that makes pictures."""

    model_name: str
    model_version: str
    fingerprint: str = Field(description="Of all that pictures of a seed depend on.")
    height: int = Field(description="Pixels.")
    width: int = Field(description="Pixels.")
    channels: Literal[1, 3]
    latent_size: int = Field(description="Numbers of a row of 'z'.")
    condition: Literal["none", "class", "prompt"] = Field(
        description="What the model is told beside the noise."
    )
    classes: list[str] = Field(description="Values of 'class', by number.")
    words: list[str] = Field(description="That a prompt may have.")
    default_prompt: str | None
    example_prompts: list[str]
    directions: list[DirectionBody]


class ImageModelsBody(BaseModel):
    """All of them."""

    models: list[ImageModelBody]


def image_models_router(service: InferenceService) -> APIRouter:
    """The route, bound to ``service``."""
    router = APIRouter(tags=["images"])

    @router.get("/v1/images")
    async def list_image_models() -> ImageModelsBody:
        """The models that make pictures, every ready version of each."""
        return ImageModelsBody(models=[_model(one) for one in image_generators(service)])

    return router


def image_generators(service: InferenceService) -> list[ImageGenerator]:
    """Of every ready version that makes pictures, by name and version."""
    found = []
    for entry in service.model_statistics():
        try:
            found.append(service.image_generator(entry["name"], entry["version"]))
        except NotSupported:  # most models make none
            continue
    return sorted(found, key=lambda one: (one.facts.model, int(one.facts.version)))


def _model(generator: ImageGenerator) -> ImageModelBody:
    task, facts = generator.task, generator.facts
    prompts = task.condition == "prompt"
    return ImageModelBody(
        model_name=facts.model,
        model_version=facts.version,
        fingerprint=facts.fingerprint,
        height=task.height,
        width=task.width,
        channels=3 if task.channels == 3 else 1,
        latent_size=task.latent_size,
        condition=task.condition,
        classes=list(task.classes),
        words=list(task.vocabulary[1:]),
        default_prompt=task.default_prompt if prompts else None,
        example_prompts=list(task.example_prompts),
        directions=[_direction(one) for one in task.directions],
    )


def _direction(direction: Direction) -> DirectionBody:
    return DirectionBody(name=direction.name, opposite=direction.opposite or None)
