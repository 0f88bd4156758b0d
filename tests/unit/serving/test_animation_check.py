"""Animated or still, by the bytes of GIF and WebP files that Pillow writes."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.animation_check import MAX_BLOCKS, is_animated


def file_of(frames: int, kind: str, **options: Any) -> bytes:
    pictures = [Image.effect_noise((40, 30), 10 * place + 9) for place in range(frames)]
    buffer = io.BytesIO()
    if frames > 1:
        options |= {"save_all": True, "append_images": pictures[1:], "duration": 50}
    pictures[0].save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("frames", [2, 5])
@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_file_of_several_frames_is_animated(frames: int, kind: str) -> None:
    assert is_animated(file_of(frames, kind))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GIF", {}),
        ("GIF", {"comment": b"a still picture" * 40, "interlace": False}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}),
        ("PNG", {}),
        ("JPEG", {}),
    ],
)
def test_still_picture_is_not_animated(kind: str, options: dict[str, Any]) -> None:
    assert not is_animated(file_of(1, kind, **options))


def test_file_with_colours_of_each_frame_is_animated() -> None:
    frames = [Image.effect_noise((9, 9), 50).convert("P") for _ in range(2)]
    for place, frame in enumerate(frames):
        frame.putpalette([(place * 90 + value) % 256 for value in range(768)])
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert is_animated(buffer.getvalue())


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_file_cut_off_in_its_first_frame_is_not_animated(kind: str) -> None:
    data = file_of(3, kind)
    assert not any(is_animated(data[:length]) for length in range(60))


def test_endless_blocks_are_not_read_to_their_end() -> None:
    start = b"GIF89a" + bytes(7) + b"\x2c" + bytes(9) + b"\x08"
    rest = b"\0\x2c" + bytes(9) + b"\x08\0;"
    assert is_animated(start + b"\x01x" * (MAX_BLOCKS - 10) + rest)
    assert not is_animated(start + b"\x01x" * MAX_BLOCKS + rest)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"GIF89a", b"RIFF\0\0\0\0WEBP", b""]))
def test_any_bytes_have_an_answer(data: bytes, start: bytes) -> None:
    assert is_animated(start + data) in (True, False)
