"""Captions of pictures and of videos, from models that declare to write them."""

from serving.accounting import Accounting
from serving.caption_types import CaptionAnswer, CaptionRequest, VideoRequest, VideoResponse
from serving.errors import NotSupported
from serving.loaded_model import LoadedModel
from serving.repository import ModelRepository


class Captioning:
    """Answers requests for captions. Lives on the event loop."""

    def __init__(self, repository: ModelRepository, accounting: Accounting) -> None:
        """Caption with the models of ``repository``."""
        self._repository = repository
        self._accounting = accounting

    async def caption(self, request: CaptionRequest) -> CaptionAnswer:
        """See ``InferenceService.caption``."""
        entry = self._accounting.open(request)
        with entry.failing():
            entry.model = self._repository.get(request.model_name, request.model_version)
            raise not_a_captioner(entry.model)

    async def caption_video(self, request: VideoRequest) -> VideoResponse:
        """See ``InferenceService.caption_video``."""
        with self._accounting.counted(request) as entry:
            entry.model = self._repository.get(request.model_name, request.model_version)
            raise not_a_captioner(entry.model)


def not_a_captioner(model: LoadedModel) -> NotSupported:
    """What a client is told that wants captions of another model."""
    return NotSupported(
        f"model {model.name!r} does not caption pictures: it declares no task image_captioning"
    )
