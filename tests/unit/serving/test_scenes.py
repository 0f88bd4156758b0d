import itertools

import numpy as np
import pytest
from PIL import Image

from serving.scenes import distance, find_scenes, signature
from serving.video import VideoFrame, VideoLimits, read_video
from tests.videos import example_animation, example_movie, scene


def clip(*shots: int, frames: int = 6) -> list[VideoFrame]:
    """Frames half a second apart: ``frames`` of each shot."""
    pictures = [picture for seed in shots for picture in scene(seed, frames)]
    return [VideoFrame(number / 2, picture) for number, picture in enumerate(pictures)]


def test_find_scenes_cuts_where_the_shot_changes() -> None:
    scenes = find_scenes(clip(0, 1, 2), 9.0)
    assert [(s.start_s, s.end_s) for s in scenes] == [(0.0, 3.0), (3.0, 6.0), (6.0, 9.0)]


def test_find_scenes_shows_the_frame_in_the_middle() -> None:
    assert [s.frame.time_s for s in find_scenes(clip(0, 1), 6.0)] == [1.5, 4.5]


def test_find_scenes_keeps_one_scene_when_only_noise_and_camera_move() -> None:
    scenes = find_scenes(clip(3, frames=20), 10.0)
    assert [(s.start_s, s.end_s) for s in scenes] == [(0.0, 10.0)]


def test_find_scenes_sees_a_shot_that_comes_back_as_a_scene_of_its_own() -> None:
    assert len(find_scenes(clip(0, 1, 0), 9.0)) == 3


def test_find_scenes_parts_two_shots_that_fade_slowly_into_each_other() -> None:
    first, last = scene(0, 1)[0], scene(1, 1)[0]
    shares = [0.0] * 6 + [i / 10 for i in range(10)] + [1.0] * 6
    frames = [VideoFrame(i / 2, Image.blend(first, last, x)) for i, x in enumerate(shares)]
    scenes = find_scenes(frames, 11.0)
    assert len(scenes) == 2
    assert 3.0 < scenes[1].start_s < 8.0


def test_find_scenes_joins_the_most_alike_when_there_are_too_many() -> None:
    colours = [(0, 0, 0), (0, 0, 0), (255, 0, 0), (250, 90, 0), (0, 0, 255)]
    frames = [VideoFrame(float(i), Image.new("RGB", (8, 8), c)) for i, c in enumerate(colours)]
    scenes = find_scenes(frames, 5.0, max_scenes=3)
    assert [(s.start_s, s.end_s) for s in scenes] == [(0.0, 2.0), (2.0, 4.0), (4.0, 5.0)]


@pytest.mark.parametrize("max_scenes", [1, 2, 5])
def test_find_scenes_gives_no_more_than_asked(max_scenes: int) -> None:
    scenes = find_scenes(clip(0, 1, 2, 3, 4, 5, 6, frames=2), 7.0, max_scenes=max_scenes)
    assert len(scenes) == max_scenes
    assert (scenes[0].start_s, scenes[-1].end_s) == (0.0, 7.0)
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(scenes))


def test_find_scenes_takes_a_single_frame() -> None:
    (only,) = find_scenes([VideoFrame(0.0, Image.new("RGB", (3, 2)))])
    assert (only.start_s, only.end_s, only.frame.time_s) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("data", [example_animation(), example_movie()], ids=["GIF", "MP4"])
def test_find_scenes_finds_those_of_a_file(data: bytes) -> None:
    video = read_video(data, VideoLimits(frames_per_s=5.0))
    scenes = find_scenes(video.frames, video.duration_s)
    assert [s.start_s for s in scenes] == pytest.approx([0.0, 1.0, 2.0])
    assert scenes[-1].end_s == video.duration_s


def test_distance_is_0_of_equal_pictures_and_most_of_black_and_white() -> None:
    black, white = (signature(Image.new("RGB", (9, 7), c)) for c in ("black", "white"))
    assert distance(black, black) == 0.0
    assert distance(black, white) == pytest.approx(1.25, abs=1e-5)  # float32 sums


def test_distance_is_small_when_the_picture_is_noisy() -> None:
    picture = scene(4, 1)[0]
    noise = np.random.default_rng(0).normal(0, 25, np.asarray(picture).shape)
    noisy = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    assert distance(signature(picture), signature(noisy)) < 0.06
