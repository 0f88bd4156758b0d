"""How many pictures may be worked on at once, by all requests together."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import QueueFull


class PictureRoom:
    """Places for pictures between their request and its answer. Lives on the event loop."""

    def __init__(self, places: int) -> None:
        """Let ``places`` pictures be worked on, those that wait to be decoded included."""
        self._places = places
        self._taken = 0

    @contextmanager
    def hold(self, images: int) -> Iterator[None]:
        """Hold a place for each picture, which are kept encoded until a thread decodes them.

        Raises:
            QueueFull: too many are being worked on. An idle server takes any request.
        """
        if self._taken and self._taken + images > self._places:
            raise QueueFull(
                f"Exceeds maximum queue size: {self._taken} pictures are being worked on, "
                f"{self._places} may",
                retry_after_s=1.0,
            )
        self._taken += images
        try:
            yield
        finally:
            self._taken -= images
