"""The attention of a caption as a picture, from the encoded photo that it is of."""

import asyncio
from concurrent.futures import Executor

from quartet.artifact import ImageSpec
from serving.attention_picture import PANEL_SIDE, draw_attention
from serving.caption_types import Caption
from serving.captioning import captioner_of
from serving.images import ImageLimits, decode_image
from serving.loaded_model import LoadedModel


async def draw_caption(
    model: LoadedModel, image: bytes, caption: Caption, limits: ImageLimits, pool: Executor
) -> bytes:
    """Decode ``image`` and draw ``caption`` over it, on a thread of ``pool``.

    Returns:
        A PNG file; see ``draw_attention``.

    Raises:
        NotSupported: the model does not caption pictures.
        InvalidInput: a word has no attention, or the picture is at fault.
        PayloadTooLarge: the picture is over ``limits``.
    """
    spec = captioner_of(model).task.image
    return await asyncio.get_running_loop().run_in_executor(
        pool, _draw, image, caption, limits, spec
    )


def _draw(image: bytes, caption: Caption, limits: ImageLimits, spec: ImageSpec) -> bytes:
    # What a small encoder's input needs of a large JPEG would be a blur in the panels.
    sides = {"height": max(spec.height, PANEL_SIDE), "width": max(spec.width, PANEL_SIDE)}
    picture = decode_image(image, limits, spec.model_copy(update=sides))
    return draw_attention(picture, caption, spec)
