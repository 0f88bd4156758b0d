import io
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quartet.config import ConfigError
from serving.caption_types import Frame
from serving.errors import InvalidInput, PayloadTooLarge
from serving.video import VideoFrame, VideoLimits, frames_of, read_video
from tests.videos import animation, grey_steps, number_of

LIMITS = VideoLimits()
KINDS = ("GIF", "WEBP", "PNG")


def times(frames: Sequence[VideoFrame]) -> list[float]:
    return [round(frame.time_s, 6) for frame in frames]


def png(grey: int, size: tuple[int, int] = (8, 8)) -> bytes:
    stream = io.BytesIO()
    Image.new("L", size, grey).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_read_video_takes_the_frames_seen_every_half_second_of_an_animation(kind: str) -> None:
    clip = read_video(animation(grey_steps(20), kind, 200), LIMITS)
    assert clip.duration_s == 4.0
    assert times(clip.frames) == [0.0, 0.4, 1.0, 1.4, 2.0, 2.4, 3.0, 3.4]
    assert [number_of(f.picture) for f in clip.frames] == [0, 2, 5, 7, 10, 12, 15, 17]


@pytest.mark.parametrize("kind", KINDS)
def test_read_video_heeds_the_duration_of_each_frame(kind: str) -> None:
    clip = read_video(animation(grey_steps(3), kind, [1500, 700, 2000]), LIMITS)
    assert clip.duration_s == 4.2
    assert times(clip.frames) == [0.0, 1.5, 2.2]


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_read_video_shows_frames_without_duration_for_a_tenth_of_a_second(kind: str) -> None:
    assert read_video(animation(grey_steps(10), kind, 0), LIMITS).duration_s == 1.0


def test_read_video_spreads_few_frames_over_all_of_a_long_animation() -> None:
    clip = read_video(animation(grey_steps(50), "GIF", 500), VideoLimits(max_frames_looked_at=8))
    assert 4 <= len(clip.frames) <= 8
    gaps = {round(b - a, 6) for a, b in itertools.pairwise(times(clip.frames))}
    assert len(gaps) == 1
    assert clip.frames[0].time_s == 0.0
    assert clip.duration_s - clip.frames[-1].time_s <= gaps.pop()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_read_video_takes_a_still_picture_for_one_frame(kind: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), (90, 90, 90)).save(stream, kind)
    clip = read_video(stream.getvalue(), LIMITS)
    assert clip.duration_s == 0.0
    assert times(clip.frames) == [0.0]
    assert clip.frames[0].picture.getpixel((3, 3)) == (90, 90, 90)


def test_read_video_leaves_out_the_still_picture_of_an_animated_png() -> None:
    still, *moving = grey_steps(3)
    stream = io.BytesIO()
    still.save(stream, "PNG", save_all=True, append_images=moving, duration=600, default_image=True)
    assert [number_of(f.picture) for f in read_video(stream.getvalue(), LIMITS).frames] == [1, 2]


def test_read_video_puts_every_frame_on_white() -> None:
    light = Image.new("RGBA", (8, 8), (250, 250, 250, 0))
    light.paste((250, 250, 250, 255), (2, 2, 4, 4))
    dark = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    clip = read_video(animation([light, dark], "WEBP", 500), LIMITS)
    assert [f.picture.getpixel((0, 0)) for f in clip.frames] == [(255, 255, 255)] * 2


def test_read_video_reduces_large_frames_and_keeps_their_shape() -> None:
    clip = read_video(animation(grey_steps(2, (400, 200))), VideoLimits(kept_pixels=5000))
    assert clip.frames[0].picture.size == (100, 50)


def test_read_video_reduces_a_thin_strip_to_the_limit() -> None:
    clip = read_video(png(7, (9000, 1)), VideoLimits(kept_pixels=100))
    assert clip.frames[0].picture.size[0] <= 100


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (VideoLimits(max_bytes=100), "bytes, at most 100 are taken"),
        (VideoLimits(max_duration_s=1.5), "video lasts .* s, at most 1.5 s"),
        (VideoLimits(max_pixels=3071), "64 x 48 = 3072 pixels, at most 3071"),
        (VideoLimits(max_decode_s=1e-9), "more than 1e-09 s of processor time"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_read_video_refuses_an_animation_over_a_limit(
    kind: str, limits: VideoLimits, message: str
) -> None:
    with pytest.raises(PayloadTooLarge, match=message):
        read_video(animation(grey_steps(20), kind), limits)


@pytest.mark.parametrize("name", ["max_bytes", "max_duration_s", "max_decode_s", "frames_per_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_video_limits_refuses_what_is_no_limit(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        VideoLimits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_read_video_refuses_a_truncated_animation(kind: str, part: float) -> None:
    data = animation(grey_steps(20), kind)
    with pytest.raises(InvalidInput, match="truncated"):
        read_video(data[: int(len(data) * part)], LIMITS)


def test_read_video_refuses_a_gif_that_ends_between_two_frames() -> None:
    data = animation(grey_steps(2), "GIF")
    with pytest.raises(InvalidInput, match="truncated"):
        read_video(data[:-1], LIMITS)


def test_read_video_refuses_a_frame_larger_than_the_file_says() -> None:
    data = bytearray(animation(grey_steps(3), "GIF"))
    second = data.index(b",", data.index(b",") + 1)
    while data[second + 5 : second + 9] != bytes([64, 0, 48, 0]):
        second = data.index(b",", second + 1)
    data[second + 5 : second + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(PayloadTooLarge, match="at most"):
        read_video(bytes(data), LIMITS)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "0 bytes"),
        (b"hello", "not a video"),
        (b"\x1a\x45\xdf\xa3" + bytes(200), "WebM"),
        (b"RIFF\0\0\0\0AVI LIST" + bytes(200), "AVI"),
        (b"OggS" + bytes(200), "Ogg"),
        (b"G" + bytes(187) + b"G" + bytes(187), "MPEG transport stream"),
        (b"\0\0\0\x18ftypheic" + bytes(200), "HEIC"),
    ],
)
def test_read_video_names_what_it_does_not_read(data: bytes, name: str) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        read_video(data, LIMITS)
    assert "MP4" in caught.value.message


CORPUS = [animation(grey_steps(4, (16, 12)), kind) for kind in KINDS]


@settings(max_examples=50, deadline=None)
@given(
    data=st.sampled_from(CORPUS),
    cut=st.floats(0.0, 1.0) | st.just(1.0),
    flips=st.lists(st.tuples(st.floats(0.0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_read_video_raises_only_client_errors_when_an_animation_is_damaged(
    data: bytes, cut: float, flips: list[tuple[float, int]]
) -> None:
    damaged = bytearray(data[: int(len(data) * cut)])
    for position, value in flips:
        if damaged:
            damaged[int(position * len(damaged))] = value
    try:
        clip = read_video(bytes(damaged), VideoLimits(max_pixels=100_000))
    except (InvalidInput, PayloadTooLarge):
        return
    assert all(frame.picture.mode == "RGB" for frame in clip.frames)
    assert clip.duration_s >= clip.frames[-1].time_s


def test_frames_of_keeps_all_frames_and_their_times() -> None:
    clip = frames_of([Frame(1.0, png(10)), Frame(2.5, png(200)), Frame(3.0, png(30))], LIMITS)
    assert times(clip.frames) == [1.0, 2.5, 3.0]
    assert [int(np.asarray(f.picture)[0, 0, 0]) for f in clip.frames] == [10, 200, 30]
    assert clip.duration_s == 4.0


def test_frames_of_gives_a_single_frame_no_length() -> None:
    assert frames_of([Frame(0.0, png(10))], LIMITS).duration_s == 0.0


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        ([], "frames is empty"),
        ([0.0, 0.0], "frame 1 has time 0 s after 0 s"),
        ([1.0, 0.5], "expected ascending times"),
        ([-1.0], "frame 0 has time -1 s, expected 0 to 600"),
        ([float("nan")], "frame 0 has time nan s"),
        ([0.0, 601.0], "frame 1 has time 601 s"),
    ],
)
def test_frames_of_refuses_wrong_times(moments: list[float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        frames_of([Frame(moment, png(1)) for moment in moments], LIMITS)


def test_frames_of_names_the_frame_that_is_no_picture() -> None:
    with pytest.raises(InvalidInput, match="frame 1: not an image"):
        frames_of([Frame(0.0, png(1)), Frame(1.0, b"hello")], LIMITS)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (VideoLimits(max_frames_looked_at=1), "2 frames were sent, at most 1"),
        (VideoLimits(max_bytes=100), "bytes together, at most 100"),
        (VideoLimits(max_pixels=63), "frame 0: image has 8 x 8 = 64 pixels"),
    ],
)
def test_frames_of_refuses_more_than_the_limits(limits: VideoLimits, message: str) -> None:
    with pytest.raises(PayloadTooLarge, match=message):
        frames_of([Frame(0.0, png(1)), Frame(1.0, png(2))], limits)
