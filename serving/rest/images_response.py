"""Pictures as bodies of answers: a file, arrays, or JSON with a file for each."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from serving.image_types import GeneratedImage, ImageAnswer, Pixels
from serving.picture_files import (
    PictureForm,
    sheet,
    write_animation,
    write_npy,
    write_picture,
)
from serving.rest.images_cache import Headers
from serving.rest.images_form import AnswerForm


@dataclass(frozen=True, slots=True)
class MadeImages:
    """All pictures of an answer."""

    answer: ImageAnswer
    images: Sequence[GeneratedImage]

    def pixels(self) -> Pixels:
        """[N, H, W, C]."""
        return np.stack([image.pixels for image in self.images])


async def collect_images(answer: ImageAnswer) -> MadeImages:
    """Read ``answer`` to its end. Raises as its iteration."""
    try:
        return MadeImages(answer, [image async for image in answer])
    finally:
        await answer.aclose()


def render_images(made: MadeImages, form: AnswerForm) -> bytes:
    """The body of an answer in ``form``. Takes long: not for the event loop.

    Raises:
        InvalidInput: as ``write_picture``.
    """
    match form.format, form.layout:
        case "json", _:
            return _render_json(made)
        case "raw", _:
            return made.pixels().tobytes()
        case "npy", _:
            return write_npy(made.pixels())
        case _, "animation":
            return write_animation(made.pixels(), form.picture, fps=form.fps)
    return write_picture(sheet(made.pixels(), form.columns), form.picture)


def image_headers(answer: ImageAnswer, form: AnswerForm) -> Headers:
    """What headers tell of an answer: which model made it, of which seed; of bare pixels, how many.

    Names and versions of models are those of folders, so that any character may be in them.
    """
    told = {"model": answer.model_name, "model-version": answer.model_version}
    if answer.seed is not None:
        told["seed"] = str(answer.seed)
    if form.format in ("raw", "npy"):
        shape = (answer.count, answer.height, answer.width, answer.channels)
        told |= {"shape": ",".join(map(str, shape)), "dtype": "uint8"}
    return tuple(
        (f"quartet-{name}".encode(), value.encode("ascii", "backslashreplace"))
        for name, value in told.items()
    )


TOLD_HEADERS = tuple(
    f"quartet-{name}" for name in ("model", "model-version", "seed", "shape", "dtype")
)
"""All that ``image_headers`` may give."""


def _render_json(made: MadeImages) -> bytes:
    answer = made.answer
    document: dict[str, Any] = {
        "model_name": answer.model_name,
        "model_version": answer.model_version,
        "fingerprint": answer.fingerprint,
        "height": answer.height,
        "width": answer.width,
        "channels": answer.channels,
    }
    if answer.seed is not None:
        document["seed"] = answer.seed
    if answer.prompt is not None:
        document["prompt"] = answer.prompt
    document["images"] = [_one(image) for image in made.images]
    return orjson.dumps(document)


def _one(image: GeneratedImage) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if image.point is not None:
        told |= {"seed": image.point.seed, "index": image.point.index}
    if image.class_name is not None:
        told["class"] = image.class_name
    file = write_picture(image.pixels, PictureForm("png"))
    return {**told, "image": base64.b64encode(file).decode()}
