"""The attention of a caption as a picture, from the encoded photo that it is of."""

import asyncio
from concurrent.futures import Executor

from quartet.artifact import ImageSpec
from serving.attention_picture import draw_attention
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
    return draw_attention(decode_image(image, limits, spec), caption, spec)
