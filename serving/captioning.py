"""Captions of pictures and of videos, from models that declare to write them."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field

from serving.accounting import OK, Accounting, Entry
from serving.caption_tensors import caption_tensors, parse_caption_call
from serving.caption_types import (
    CaptionRequest,
    CaptionResponse,
    Scene,
    VideoRequest,
    VideoResponse,
    collect_captions,
)
from serving.errors import InvalidInput, NotSupported, ServingError
from serving.images import ImageLimits
from serving.loaded_model import LoadedModel
from serving.picture_decoding import decode_pictures
from serving.picture_room import PictureRoom
from serving.repository import ModelRepository
from serving.scenes import SceneSpan, find_scenes
from serving.tasks.caption_answer import Captions
from serving.tasks.captioning import Captioner
from serving.types import Array, InferRequest, InferResponse
from serving.video import VideoClip, VideoLimits, frames_of, read_video


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptioningParts:
    """What captions need beside the models."""

    room: PictureRoom
    pool: Executor
    """Threads that decode pictures and videos."""
    images: ImageLimits
    """Of one picture."""
    video: VideoLimits = field(default_factory=VideoLimits)
    """Of one video."""


class Captioning:
    """Answers requests for captions. Lives on the event loop."""

    def __init__(
        self, repository: ModelRepository, accounting: Accounting, parts: CaptioningParts
    ) -> None:
        """Caption with the models of ``repository``."""
        self._repository = repository
        self._accounting = accounting
        self._parts = parts

    async def caption(self, request: CaptionRequest) -> Captions:
        """See ``InferenceService.caption``."""
        entry = self._accounting.open(request)
        with entry.failing(), ExitStack() as held:
            answer = await self._start(entry, request, held)
            left = held.pop_all()

        def end(error: ServingError | None) -> None:
            left.close()
            if error is not None:
                error.counted = True
            entry.timings = answer.timings
            entry.close(OK if error is None else error.outcome)

        answer.on_end = end
        return answer

    async def infer(self, request: InferRequest, entry: Entry) -> InferResponse:
        """The captions of a request of tensors for a captioner, which ``entry`` counts."""
        call = parse_caption_call(request)
        with ExitStack() as held:
            answer = await self._start(entry, call.request, held)
            entry.timings = answer.timings
            response = await collect_captions(answer)
        return caption_tensors(response, answer.captions, call)

    async def caption_video(self, request: VideoRequest) -> VideoResponse:
        """See ``InferenceService.caption_video``."""
        with self._accounting.counted(request) as entry:
            entry.model = self._repository.get(request.model_name, request.model_version)
            captioner = captioner_of(entry.model)
            captioner.plan(request.options, 1)
            if bool(request.video) == bool(request.frames):
                raise InvalidInput("video: expected a file or frames, one of them")
            # A video is at most so many decoded pictures in memory.
            with self._parts.room.hold(self._parts.video.max_frames_looked_at):
                loop = asyncio.get_running_loop()
                seen = await loop.run_in_executor(
                    self._parts.pool, _see, request, captioner, self._parts.video
                )
                plan = captioner.plan(request.options, len(seen.spans))
                answer = await captioner.start(
                    plan, seen.pictures, client=request.client, deadline=request.deadline
                )
                entry.timings = answer.timings
                response = await collect_captions(answer)
        return VideoResponse(
            model_name=response.model_name,
            model_version=response.model_version,
            seed=response.seed,
            duration_s=seen.clip.duration_s,
            frames=len(seen.clip.frames),
            scenes=_scenes(seen.spans, response),
        )

    async def _start(self, entry: Entry, request: CaptionRequest, held: ExitStack) -> Captions:
        """Begin to answer; the pictures' places are given back when ``held`` is closed."""
        entry.model = self._repository.get(request.model_name, request.model_version)
        captioner = captioner_of(entry.model)
        plan = captioner.plan(request.options, len(request.images))
        held.enter_context(self._parts.room.hold(len(request.images)))
        tensor = await decode_pictures(
            captioner.pictures, request.images, self._parts.images, self._parts.pool
        )
        return await captioner.start(
            plan, tensor.data, client=request.client, deadline=request.deadline
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was looked at of a video."""

    clip: VideoClip
    spans: Sequence[SceneSpan]
    pictures: Array
    """[scenes, ...], a frame of each, as the encoder takes them."""


def _see(request: VideoRequest, captioner: Captioner, limits: VideoLimits) -> _Seen:
    """Read a video, part it into scenes, and take a picture of each. On a worker thread."""
    clip = (
        frames_of(request.frames, limits) if request.frames else read_video(request.video, limits)
    )
    spans = find_scenes(clip.frames, clip.duration_s)
    tensor = captioner.pictures.stack([span.frame.picture for span in spans])
    return _Seen(clip, spans, tensor.data)


def _scenes(spans: Sequence[SceneSpan], response: CaptionResponse) -> tuple[Scene, ...]:
    return tuple(
        Scene(
            start_s=span.start_s,
            end_s=span.end_s,
            frame_s=span.frame.time_s,
            captions=captions,
        )
        for span, captions in zip(spans, response.results, strict=True)
    )


def captioner_of(model: LoadedModel) -> Captioner:
    """What captions pictures in ``model``. Raises NotSupported if nothing does."""
    if model.captioner is None:
        raise not_a_captioner(model)
    return model.captioner


def not_a_captioner(model: LoadedModel) -> NotSupported:
    """What a client is told that wants captions of another model."""
    return NotSupported(
        f"model {model.name!r} does not caption pictures: its task is "
        f"{model.task or 'not declared'}, expected image_captioning"
    )
