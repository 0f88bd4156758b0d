"""Pictures of one request to the tensor that a model takes, off the event loop where it pays."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Protocol

from serving.images import ImageLimits, is_tiny
from serving.types import Tensor

INLINE_IMAGES = 4
"""Tiny pictures of one request that are decoded on the event loop: about a millisecond at most."""


class Preprocessor(Protocol):
    """What turns encoded pictures into a tensor."""

    def preprocess(self, images: Sequence[bytes], limits: ImageLimits) -> Tensor:
        """See ``PictureInput.preprocess``."""
        ...


async def decode_pictures(
    pictures: Preprocessor, images: Sequence[bytes], limits: ImageLimits, pool: Executor
) -> Tensor:
    """See ``PictureInput.preprocess``; larger pictures are decoded on a thread of ``pool``."""
    if len(images) <= INLINE_IMAGES and all(map(is_tiny, images)):
        return pictures.preprocess(images, limits)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(pool, pictures.preprocess, images, limits)
