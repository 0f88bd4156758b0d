import struct
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving import movies
from serving.errors import InvalidInput, NotSupported, PayloadTooLarge
from serving.video import VideoLimits, read_video
from serving.video_frames import DecodeClock
from tests.videos import animation, grey_steps, movie, number_of

LIMITS = VideoLimits()
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


@pytest.fixture(scope="module")
def plain() -> bytes:
    return movie(grey_steps(30))


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "libvpx-vp9", "mjpeg"])
def test_read_video_takes_the_frames_seen_every_half_second_of_a_movie(codec: str) -> None:
    clip = read_video(movie(grey_steps(30), codec=codec), LIMITS)
    assert clip.duration_s == pytest.approx(3.0)
    assert [frame.time_s for frame in clip.frames] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])
    assert [number_of(frame.picture) for frame in clip.frames] == [0, 5, 10, 15, 20, 25]


def test_read_video_takes_a_movie_in_fragments() -> None:
    clip = read_video(movie(grey_steps(30), container=FRAGMENTED), LIMITS)
    assert [number_of(frame.picture) for frame in clip.frames] == [0, 5, 10, 15, 20, 25]


def test_read_video_spreads_few_frames_over_all_of_a_long_movie() -> None:
    data = movie(grey_steps(50), rate=2)
    clip = read_video(data, VideoLimits(max_frames_looked_at=6))
    assert clip.duration_s == pytest.approx(25.0)
    assert [frame.time_s for frame in clip.frames] == pytest.approx([0, 5, 10, 15, 20])


def test_read_video_leaves_out_what_lies_between_two_frames_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packets: list[int] = []

    class CountingClock(DecodeClock):
        def check(self) -> None:
            packets.append(1)

    monkeypatch.setattr(movies, "DecodeClock", CountingClock)
    data = movie(grey_steps(50), rate=2, options={"g": "5", "bf": "0", "sc_threshold": "0"})
    clip = read_video(data, VideoLimits(max_frames_looked_at=3))
    assert [number_of(frame.picture) for frame in clip.frames] == [0, 25]
    assert len(packets) < 20


def test_read_video_turns_a_movie_as_the_file_says() -> None:
    stored = Image.new("RGB", (64, 32))
    stored.paste((255, 255, 255), (0, 0, 16, 32))
    upright = read_video(movie([stored] * 3, turned=90), LIMITS).frames[0].picture
    assert upright.size == (32, 64)
    # A quarter to the left: what was at the left lies at the bottom.
    pixels = np.asarray(upright).mean(axis=(1, 2))
    assert pixels[:40].max() < 30
    assert pixels[-12:].min() > 225


def test_read_video_makes_pixels_square() -> None:
    data = movie(grey_steps(3), pixel_shape=Fraction(2))
    assert read_video(data, LIMITS).frames[0].picture.size == (128, 48)


def test_read_video_keeps_the_colours_of_a_movie() -> None:
    left, right = (200, 30, 60), (40, 160, 220)
    picture = Image.new("RGB", (64, 48), left)
    picture.paste(right, (32, 0, 64, 48))
    frame = read_video(movie([picture] * 3), LIMITS).frames[0].picture
    pixels = np.asarray(frame, int)
    # Studio range and rounding in YCbCr cost a few levels.
    assert np.abs(pixels[20, 8] - left).max() <= 6
    assert np.abs(pixels[20, 56] - right).max() <= 6


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (VideoLimits(max_bytes=100), "bytes, at most 100 are taken"),
        (VideoLimits(max_duration_s=2.5), "video lasts 3 s, at most 2.5 s"),
        (VideoLimits(max_pixels=3071), "64 x 48 = 3072 pixels a frame, at most 3071"),
        (VideoLimits(max_decode_s=1e-9), "more than 1e-09 s of processor time"),
    ],
)
def test_read_video_refuses_a_movie_over_a_limit(
    plain: bytes, limits: VideoLimits, message: str
) -> None:
    with pytest.raises(PayloadTooLarge, match=message):
        read_video(plain, limits)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("container", [{}, FRAGMENTED])
def test_read_video_refuses_a_truncated_movie(part: float, container: dict[str, str]) -> None:
    data = movie(grey_steps(30), container=container)
    with pytest.raises(InvalidInput, match="truncated"):
        read_video(data[: int(len(data) * part)], LIMITS)


def test_read_video_refuses_a_table_of_many_samples_in_few_bytes() -> None:
    data = bytearray(movie(grey_steps(3), container=FRAGMENTED))
    at = data.index(b"trun")
    data[at + 4 : at + 12] = struct.pack(">II", 0x000001, 100_000_000)
    with pytest.raises(PayloadTooLarge, match=r"declares 10000.* samples, at most 1000000"):
        read_video(bytes(data), LIMITS)


def test_read_video_refuses_a_compressed_movie_header(plain: bytes) -> None:
    with pytest.raises(InvalidInput, match="compressed movie header"):
        read_video(plain.replace(b"udta", b"cmov"), LIMITS)


def test_read_video_refuses_a_codec_that_is_not_read() -> None:
    with pytest.raises(InvalidInput, match=r"codec .* is not read, expected H\.264"):
        read_video(movie(grey_steps(3), codec="mpeg2video"), LIMITS)


def test_read_video_says_how_to_install_what_reads_movies(
    plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(NotSupported, match=r"pip install 'quartet\[video\]'"):
        read_video(plain, LIMITS)
    assert len(read_video(animation(grey_steps(3)), LIMITS).frames) == 1


CORPUS = [movie(grey_steps(12, (32, 32)), codec=codec) for codec in ("libx264", "mpeg4")]
CORPUS.append(movie(grey_steps(12, (32, 32)), container=FRAGMENTED))


@settings(max_examples=50, deadline=None)
@given(
    data=st.sampled_from(CORPUS),
    cut=st.floats(0.0, 1.0) | st.just(1.0),
    flips=st.lists(st.tuples(st.floats(0.0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_read_video_raises_only_client_errors_when_a_movie_is_damaged(
    data: bytes, cut: float, flips: list[tuple[float, int]]
) -> None:
    damaged = bytearray(data[: int(len(data) * cut)])
    for position, value in flips:
        if damaged:
            damaged[int(position * len(damaged))] = value
    try:
        clip = read_video(bytes(damaged), VideoLimits(max_pixels=100_000, max_decode_s=5.0))
    except (InvalidInput, PayloadTooLarge):
        return
    assert all(frame.picture.mode == "RGB" for frame in clip.frames)
    assert clip.duration_s >= clip.frames[-1].time_s
