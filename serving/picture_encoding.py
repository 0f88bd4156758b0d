"""Files of generated pictures, written on the image threads: the event loop never encodes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from serving.image_types import Pixels
from serving.picture_files import PictureForm, write_picture


class PictureEncoding:
    """Writes files on the threads of a pool. Lives on the event loop."""

    def __init__(self, pool: Executor) -> None:
        """``pool``: the threads; Pillow leaves the interpreter lock while it encodes."""
        self._pool = pool

    async def picture(self, pixels: Pixels, form: PictureForm) -> bytes:
        """See ``write_picture``."""
        return await self.run(lambda: write_picture(pixels, form))

    async def run(self, work: Callable[[], bytes]) -> bytes:
        """What ``work`` returns or raises; it must not touch what belongs to the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
