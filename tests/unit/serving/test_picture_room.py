"""How many pictures are worked on at once."""

import pytest

from serving.errors import QueueFull
from serving.picture_room import PictureRoom


def test_places_are_given_back() -> None:
    room = PictureRoom(2)
    for _ in range(3):
        with room.hold(2):
            pass


def test_more_than_there_are_places_are_refused() -> None:
    room = PictureRoom(3)
    with room.hold(2), room.hold(1):
        with pytest.raises(QueueFull, match="3 pictures are being worked on, 3 may") as caught:
            room.hold(1).__enter__()
        assert caught.value.retry_after_s == 1.0


def test_a_refused_request_takes_no_place() -> None:
    room = PictureRoom(2)
    with room.hold(1):
        with pytest.raises(QueueFull):
            room.hold(2).__enter__()
        with room.hold(1):
            pass


def test_an_idle_server_takes_any_request() -> None:
    room = PictureRoom(2)
    with room.hold(9), pytest.raises(QueueFull):
        room.hold(1).__enter__()
