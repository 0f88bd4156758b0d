"""Pictures from models that make them, and what their discriminators think of pictures."""

from concurrent.futures import Executor
from dataclasses import dataclass

from serving.accounting import OK, Accounting
from serving.errors import InvalidInput, NotSupported, ServingError
from serving.image_types import CritiqueRequest, CritiqueResponse, ImageRequest
from serving.images import ImageLimits
from serving.loaded_model import LoadedModel
from serving.picture_decoding import decode_pictures
from serving.picture_room import PictureRoom
from serving.repository import ModelRepository
from serving.settings import ImageGenerationSettings
from serving.tasks.image_answer import Images
from serving.tasks.image_generation import ImageGenerator
from serving.types import MAX_IMAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGenerationParts:
    """What pictures need beside the models."""

    settings: ImageGenerationSettings
    room: PictureRoom
    """Of pictures to be judged."""
    pool: Executor
    """Threads that decode these."""
    images: ImageLimits
    """Of one of these."""


class ImageGeneration:
    """Answers requests for pictures. Lives on the event loop."""

    def __init__(
        self, repository: ModelRepository, accounting: Accounting, parts: ImageGenerationParts
    ) -> None:
        """Make pictures with the models of ``repository``."""
        self._repository = repository
        self._accounting = accounting
        self._parts = parts

    async def generate(self, request: ImageRequest) -> Images:
        """See ``InferenceService.generate_images``."""
        entry = self._accounting.open(request)
        with entry.failing():
            entry.model = self._repository.get(request.model_name, request.model_version)
            settings = self._parts.settings
            plan = image_generator_of(entry.model).plan(
                request,
                max_images=(
                    settings.max_images_grpc
                    if request.protocol == "grpc"
                    else settings.max_images_http
                ),
                max_frames=settings.max_frames,
            )
            answer = await image_generator_of(entry.model).start(plan, request.deadline)

        def end(error: ServingError | None) -> None:
            if error is not None:
                error.counted = True
            entry.timings = answer.timings
            entry.close(OK if error is None else error.outcome)

        answer.on_end = end
        return answer

    async def critique(self, request: CritiqueRequest) -> CritiqueResponse:
        """See ``InferenceService.critique``."""
        with self._accounting.counted(request) as entry:
            model = entry.model = self._repository.get(request.model_name, request.model_version)
            generator, images = image_generator_of(model), request.images
            critic = generator.critic()
            if not 1 <= len(images) <= MAX_IMAGES:
                raise InvalidInput(f"images: expected 1 to {MAX_IMAGES}, got {len(images)}")
            said = generator.said(request)
            with self._parts.room.hold(len(images)):
                tensor = await decode_pictures(
                    critic.pictures, images, self._parts.images, self._parts.pool
                )
                probabilities, entry.timings = await generator.critique(
                    tensor, said, request.deadline
                )
        return CritiqueResponse(
            model_name=model.name,
            model_version=str(model.version),
            probabilities=probabilities,
        )


def image_generator_of(model: LoadedModel) -> ImageGenerator:
    """What makes pictures in ``model``. Raises NotSupported if nothing does."""
    if model.image_generator is None:
        raise NotSupported(
            f"model {model.name!r} does not make pictures: its task is "
            f"{model.task or 'not declared'}, expected image_generation"
        )
    return model.image_generator
