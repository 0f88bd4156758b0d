"""Files of generated pictures: what is in them, byte by byte the same each time."""

import io
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageSequence

from serving.errors import InvalidInput
from serving.image_types import Pixels
from serving.picture_files import (
    MAX_SIDES,
    AnimationKind,
    PictureForm,
    PictureKind,
    check_quality,
    sheet,
    write_animation,
    write_npy,
    write_picture,
)

KINDS: tuple[PictureKind, ...] = get_args(PictureKind)
ANIMATIONS: tuple[AnimationKind, ...] = get_args(AnimationKind)
CHANNELS = pytest.mark.parametrize("channels", [1, 3])


GIF_BIN = 16
"""Levels: the side of an octree's cubes where colours are few. Those of one become their mean."""


def some_pixels(count: int, channels: int = 3, height: int = 6, width: int = 9) -> Pixels:
    """Noise; few enough pixels that a palette of 256 holds about every colour."""
    shape = (count, height, width, channels)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


def decoded(data: bytes, channels: int) -> Pixels:
    """All frames [N, H, W, C]."""
    mode = "L" if channels == 1 else "RGB"
    with Image.open(io.BytesIO(data)) as image:
        frames = [np.asarray(frame.convert(mode)) for frame in ImageSequence.Iterator(image)]
    return np.stack(frames).reshape(len(frames), *frames[0].shape[:2], channels)


def assert_shows(data: bytes, frames: Pixels, within: int = 0) -> None:
    """The file shows ``frames``, each level ``within`` that."""
    found = decoded(data, frames.shape[-1])
    assert found.shape == frames.shape
    assert np.abs(found.astype(int) - frames).max() <= within


def durations(data: bytes) -> list[float]:
    with Image.open(io.BytesIO(data)) as image:
        found = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            found.append(image.info["duration"])
    return found


@CHANNELS
@pytest.mark.parametrize("kind", ["png", "webp", "apng"])
def test_picture_has_its_very_pixels_in_files_without_loss(
    kind: PictureKind, channels: int
) -> None:
    pixels = some_pixels(1, channels)
    assert_shows(write_picture(pixels[0], PictureForm(kind)), pixels)


@CHANNELS
@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_lower_quality_gives_fewer_bytes_of_much_the_same_picture(
    kind: PictureKind, channels: int
) -> None:
    slope = np.linspace(0, 255, 64 * 64).reshape(64, 64, 1)
    noise = np.random.default_rng(0).normal(0, 8, (64, 64, 1))
    pixels = np.repeat((slope + noise).clip(0, 255).astype(np.uint8), channels, axis=2)
    files = [write_picture(pixels, PictureForm(kind, quality)) for quality in (10, 60, 95)]
    assert len(files[0]) < len(files[1]) < len(files[2])
    apart = np.abs(decoded(files[2], channels)[0].astype(int) - pixels)
    assert apart.mean() < 4, "quality 95 keeps noise of 8 levels to a few"


@pytest.mark.parametrize("kind", KINDS)
def test_picture_gives_the_same_bytes_each_time(kind: PictureKind) -> None:
    (pixels,) = some_pixels(1)
    assert write_picture(pixels, PictureForm(kind)) == write_picture(
        pixels.copy(), PictureForm(kind)
    )


def test_raw_and_npy_are_the_pixels_row_by_row() -> None:
    (pixels,) = some_pixels(1)
    turned = np.asfortranarray(pixels)
    assert write_picture(turned, PictureForm("raw")) == pixels.tobytes()
    loaded = np.load(io.BytesIO(write_picture(pixels, PictureForm("npy"))))
    np.testing.assert_array_equal(loaded, pixels)
    many = some_pixels(4)
    np.testing.assert_array_equal(np.load(io.BytesIO(write_npy(many))), many)


@CHANNELS
@pytest.mark.parametrize("kind", ANIMATIONS)
def test_animation_shows_every_picture_in_turn(kind: AnimationKind, channels: int) -> None:
    frames = some_pixels(5, channels)
    data = write_animation(frames, PictureForm(kind), fps=8.0)
    within = GIF_BIN if kind == "gif" and channels == 3 else 0
    assert_shows(data, frames, within)
    assert data == write_animation(frames, PictureForm(kind), fps=8.0)


@pytest.mark.parametrize("kind", ANIMATIONS)
@pytest.mark.parametrize("fps", [0.5, 7.0, 30.0, 50.0])
def test_times_of_an_animation_do_not_drift(kind: AnimationKind, fps: float) -> None:
    found = durations(write_animation(some_pixels(21), PictureForm(kind), fps=fps))
    assert len(found) == 21
    tick = 10 if kind == "gif" else 1
    assert sum(found) == pytest.approx(21_000 / fps, abs=tick)
    assert all(time == pytest.approx(1000 / fps, abs=tick) for time in found)


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_animation_of_one_picture_shows_it(kind: AnimationKind) -> None:
    frames = some_pixels(1)
    data = write_animation(frames, PictureForm(kind), fps=10.0)
    assert_shows(data, frames, GIF_BIN if kind == "gif" else 0)


@CHANNELS
def test_gif_of_many_colours_is_near(channels: int) -> None:
    ramp = np.linspace(0, 255, 64)
    slopes = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], ramp[::-1, None]), axis=2)
    pixels = slopes[None, :, :, :channels].astype(np.uint8)
    # 4096 colours by 256: each stands for a cube of 16 levels or so, so 4 to 8 off on average.
    apart = decoded(write_picture(pixels[0], PictureForm("gif")), channels).astype(int) - pixels
    assert np.abs(apart).mean() < 8


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_equal_neighbours_are_shown_as_long(kind: AnimationKind) -> None:
    frames = some_pixels(2)[[0, 0, 0, 1]]
    data = write_animation(frames, PictureForm(kind), fps=10.0)
    assert sum(durations(data)) == 400
    assert np.abs(decoded(data, 3)[-1].astype(int) - frames[-1]).max() <= (
        GIF_BIN if kind == "gif" else 0
    )


def test_loops_are_counted_by_the_file() -> None:
    data = write_animation(some_pixels(2), PictureForm("gif"), fps=10.0, loop=3)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["loop"] == 3


@CHANNELS
def test_sheet_has_picture_i_in_place_i_and_white_behind_the_last(channels: int) -> None:
    pixels = some_pixels(5, channels, height=2, width=3)
    found = sheet(pixels, 3)
    assert found.shape == (4, 9, channels)
    for number, picture in enumerate(pixels):
        top, left = number // 3 * 2, number % 3 * 3
        np.testing.assert_array_equal(found[top : top + 2, left : left + 3], picture)
    assert (found[2:, 6:] == 255).all()


def test_sheet_is_no_wider_than_its_pictures() -> None:
    assert sheet(some_pixels(2), 8).shape == (6, 18, 3)


@pytest.mark.parametrize("kind", MAX_SIDES)
def test_side_that_the_format_cannot_hold_is_refused(kind: PictureKind) -> None:
    wide = np.zeros((1, MAX_SIDES[kind] + 1, 1), np.uint8)
    with pytest.raises(InvalidInput, match=f"^format: .* too large for {kind}"):
        write_picture(wide, PictureForm(kind))


@pytest.mark.parametrize(
    ("kind", "quality"), [("png", 90), ("gif", 1), ("jpeg", 0), ("jpeg", 101), ("webp", -1)]
)
def test_quality_that_a_format_does_not_know_is_refused(kind: str, quality: int) -> None:
    with pytest.raises(InvalidInput, match=r"^quality: "):
        check_quality(kind, quality)


def test_quality_of_a_lossy_format_is_taken() -> None:
    for quality in (None, 1, 100):
        check_quality("jpeg", quality)
        check_quality("webp", quality)
    check_quality("png", None)
