"""Requests for pictures held against a model: what each source makes, and every fault by name."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quartet.image_generation import ImageGenerationTask
from quartet.latents import latents
from quartet.philox import uniforms
from serving.errors import InvalidInput
from serving.image_math import move, slerp
from serving.image_types import (
    Arithmetic,
    Floats,
    GivenLatents,
    ImageOptions,
    Interpolation,
    LatentPoint,
    LatentSource,
    Samples,
    SeedList,
)
from serving.tasks.image_options import ImagePlanLimits
from serving.tasks.image_plan import ImagePlan, PlannedPieces, plan_images
from serving.tasks.image_sources import MAX_INDEX
from tests.image_models import CLASSES, LATENT, PROMPT_LENGTH, ImageModel, image_task, unit

MANY = 64
"""Pictures that the tests' requests may ask for."""
FRAMES = 16
LARGEST_SEED = 2**63 - 1


def limits(condition: str = "none", **declaration: Any) -> ImagePlanLimits:
    return ImagePlanLimits(
        model="m",
        task=image_task(ImageModel(condition=condition, declaration=declaration)),
        max_images=MANY,
        max_frames=FRAMES,
    )


def plan(source: LatentSource, condition: str = "none", **options: Any) -> ImagePlan:
    return plan_images(source, ImageOptions(**options), limits(condition))


def whole(made: ImagePlan) -> Floats:
    """The z of all pictures."""
    return np.asarray(made.batch(0, made.count).inputs["z"])


def point_z(*points: LatentPoint, truncation: float | None = None) -> Floats:
    seeds = np.array([point.seed for point in points], np.uint64)
    return latents(seeds, np.array([p.index for p in points]), LATENT, truncation)


# --- where z comes from ---


def test_samples_are_points_of_one_seed() -> None:
    made = plan(Samples(seed=7, count=5, first=3))
    points = [LatentPoint(7, index) for index in range(3, 8)]
    assert np.array_equal(whole(made), point_z(*points))
    assert made.batch(1, 4).points == points[1:4]
    assert (made.count, made.seed) == (5, 7)


def test_a_seed_is_drawn_where_none_is_given() -> None:
    made, other = plan(Samples()), plan(Samples())
    assert made.seed is not None
    assert made.seed != other.seed
    assert np.array_equal(whole(made), point_z(LatentPoint(made.seed)))


def test_seeds_are_one_point_each() -> None:
    made = plan(SeedList((5, 0, LARGEST_SEED), index=2))
    points = [LatentPoint(5, 2), LatentPoint(0, 2), LatentPoint(LARGEST_SEED, 2)]
    assert np.array_equal(whole(made), point_z(*points))
    assert (list(made.batch(0, 3).points), made.seed) == (points, None)


def test_given_noise_is_taken_as_it_is() -> None:
    z = np.random.default_rng(0).standard_normal((3, LATENT)).astype(np.float32)
    made = plan(GivenLatents(z))
    assert np.array_equal(whole(made), z)
    assert list(made.batch(0, 3).points) == [None] * 3


def test_a_way_leads_through_its_points() -> None:
    points = (LatentPoint(1), LatentPoint(2, 5), LatentPoint(3))
    z = point_z(*points)
    made = plan(Interpolation(points, frames=5))
    assert np.array_equal(whole(made)[::2], z)
    assert np.array_equal(whole(made)[1::2], slerp(z[:-1], z[1:], np.full(2, 0.5)))
    assert made.batch(0, 1).points == (None,)


def test_a_closed_way_leads_back() -> None:
    points = (LatentPoint(1), LatentPoint(2))
    z = point_z(*points)
    made = plan(Interpolation(points, frames=4, closed=True))
    assert np.array_equal(whole(made)[3:], slerp(z[1:], z[:1], np.array([0.5])))


def test_arithmetic_is_a_sum_as_wide_as_one_point() -> None:
    points = (LatentPoint(7), LatentPoint(12), LatentPoint(31))
    made = plan(Arithmetic(tuple(zip((1.0, -1.0, 1.0), points, strict=True))))
    z = point_z(*points).astype(np.float64)
    # float64 sums, rounded once.
    np.testing.assert_allclose(whole(made)[0], (z[0] - z[1] + z[2]) / math.sqrt(3), rtol=1e-6)


def test_a_point_that_stands_twice_counts_by_its_whole_weight() -> None:
    seven, twelve = LatentPoint(7), LatentPoint(12)
    terms = ((1.0, seven), (1.0, twelve), (1.0, seven), (-1.0, twelve))
    assert np.array_equal(whole(plan(Arithmetic(terms))), point_z(seven))


@pytest.mark.parametrize(
    "source",
    [
        Samples(seed=3, count=9),
        SeedList(tuple(range(9))),
        GivenLatents(np.ones((9, LATENT), np.float32)),
        Interpolation((LatentPoint(1), LatentPoint(2)), frames=9),
    ],
    ids=lambda source: type(source).__name__,
)
def test_a_piece_is_what_it_is_in_the_whole(source: LatentSource) -> None:
    made = plan(source, condition="class", directions={"older": 1.0})
    all_inputs = made.batch(0, 9).inputs
    for start, stop in ((0, 1), (1, 4), (4, 9)):
        piece = made.batch(start, stop)
        for name, array in piece.inputs.items():
            assert np.array_equal(array, all_inputs[name][start:stop])
        assert len(piece.points) == len(piece.class_names) == stop - start


@pytest.mark.parametrize("count", [1, 5, 64, 200])
def test_pieces_that_are_cut_from_blocks_are_what_they_are_alone(count: int) -> None:
    made = plan_images(
        Samples(seed=3, count=count),
        ImageOptions(),
        replace(limits("class"), max_images=count),
    )
    pieces = PlannedPieces(made)
    for start in [*range(0, count, 3), 0]:
        stop = min(count, start + 3)
        piece, alone = pieces.batch(start, stop), made.batch(start, stop)
        assert piece.inputs.keys() == alone.inputs.keys()
        for name, array in alone.inputs.items():
            assert np.array_equal(piece.inputs[name], array)
        assert list(piece.points) == list(alone.points)
        assert list(piece.class_names) == list(alone.class_names)


# --- options ---


def test_truncation_bounds_what_is_drawn() -> None:
    made = plan(Samples(seed=0, count=MANY), truncation=0.5)
    assert np.abs(whole(made)).max() <= 0.5
    assert np.array_equal(
        whole(made), point_z(*(LatentPoint(0, index) for index in range(MANY)), truncation=0.5)
    )


def test_truncation_bounds_the_points_of_a_way() -> None:
    points = (LatentPoint(1), LatentPoint(2))
    made = plan(Interpolation(points, frames=2), truncation=0.5)
    assert np.array_equal(whole(made), point_z(*points, truncation=0.5))


def test_directions_are_added_before_the_length_is_restored() -> None:
    made = plan(Samples(seed=1, count=2), directions={"older": 0.5, "redder": -2.0})
    step = 0.5 * 2.0 * np.array(unit(0)) - 2.0 * 1.5 * np.array(unit(1))
    z = point_z(LatentPoint(1), LatentPoint(1, 1))
    assert np.array_equal(whole(made), move(z, step))


def test_an_opposite_is_the_direction_with_its_sign_turned() -> None:
    older = whole(plan(Samples(seed=1), directions={"older": -1.5}))
    assert np.array_equal(whole(plan(Samples(seed=1), directions={"younger": 1.5})), older)
    assert not np.array_equal(whole(plan(Samples(seed=1))), older)


@pytest.mark.parametrize(("name", "number"), [("two", 2), ("1", 1), ("zero", 0)])
def test_a_class_is_named_or_numbered(name: str, number: int) -> None:
    batch = plan(Samples(seed=0, count=3), condition="class", class_name=name).batch(0, 3)
    assert batch.inputs["label"].tolist() == [number] * 3
    assert list(batch.class_names) == [CLASSES[number]] * 3


def test_a_class_whose_name_is_a_number_is_meant_before_the_number() -> None:
    made = plan_images(
        Samples(seed=0),
        ImageOptions(class_name="1"),
        limits("class", classes=("1", "0")),
    )
    assert made.batch(0, 1).inputs["label"].tolist() == [0]


def test_classes_are_drawn_behind_the_numbers_of_z() -> None:
    batch = plan(Samples(seed=9, count=MANY), condition="class").batch(0, MANY)
    u = uniforms(
        np.full(MANY, 9, np.uint64), np.arange(MANY), np.zeros(MANY, np.int64), LATENT + 1
    )[:, LATENT]
    expected = np.floor(u.astype(np.float64) * len(CLASSES)).astype(int).tolist()
    assert batch.inputs["label"].tolist() == expected
    assert set(expected) == {0, 1, 2}


def test_classes_of_given_noise_are_those_of_seed_0() -> None:
    given = plan(GivenLatents(np.ones((8, LATENT), np.float32)), condition="class").batch(2, 8)
    drawn = plan(Samples(seed=0, count=8), condition="class").batch(2, 8)
    assert given.class_names == drawn.class_names


def test_a_way_is_of_one_class() -> None:
    made = plan(Interpolation((LatentPoint(4), LatentPoint(5)), frames=8), condition="class")
    first = plan(Samples(seed=4), condition="class").batch(0, 1).class_names[0]
    assert list(made.batch(0, 8).class_names) == [first] * 8


def test_a_prompt_becomes_words() -> None:
    made = plan(Samples(seed=0, count=2), condition="prompt", prompt="A blue, DOG!")
    assert made.prompt == "A blue, DOG!"
    assert made.batch(0, 2).inputs["words"].tolist() == [[1, 3, 5, 0]] * 2


def test_a_model_has_a_prompt_of_its_own() -> None:
    made = plan(Samples(seed=0), condition="prompt")
    assert made.prompt == "a cat"
    assert made.batch(0, 1).inputs["words"].tolist() == [[1, 4, 0, 0]]


def test_inputs_have_the_types_of_the_contract() -> None:
    for condition, name in (("class", "label"), ("prompt", "words")):
        inputs = plan(Samples(seed=0), condition=condition).batch(0, 1).inputs
        assert {key: array.dtype for key, array in inputs.items()} == {
            "z": np.float32,
            name: np.int64,
        }


# --- faults ---


def ones(*shape: int) -> GivenLatents:
    return GivenLatents(np.ones(shape, np.float32))


def with_value(value: float) -> GivenLatents:
    z = np.ones((2, LATENT), np.float32)
    z[1, 3] = value
    return GivenLatents(z)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (Samples(seed=-1), "seed: expected 0 to 9223372036854775807, got -1"),
        (Samples(seed=2**63), "seed: expected 0 to"),
        (Samples(count=0), "number of pictures: expected 1 to 64, got 0"),
        (Samples(count=65), "number of pictures: expected 1 to 64, got 65"),
        (Samples(first=-1), "index: expected 0 to 4294967295, got -1"),
        (Samples(first=MAX_INDEX, count=2), "index: 2 pictures from index 4294967295 on go beyond"),
        (SeedList(()), "number of seeds: expected 1 to 64, got 0"),
        (SeedList((1, -2)), "seed: expected 0 to 9223372036854775807, got -2"),
        (SeedList((1,), index=2**32), "index: expected 0 to 4294967295"),
        (ones(1, LATENT - 1), "z: expected shape [pictures, 8], got [1, 7]"),
        (ones(LATENT), "z: expected shape [pictures, 8], got [8]"),
        (ones(0, LATENT), "number of pictures: expected 1 to 64, got 0"),
        (with_value(math.nan), "z: expected finite float32 numbers, got nan in row 1"),
        (with_value(-math.inf), "z: expected finite float32 numbers, got -inf in row 1"),
        (Interpolation((LatentPoint(1),)), "points to interpolate: expected 2 to 1024, got 1"),
        (
            Interpolation((LatentPoint(1), LatentPoint(2), LatentPoint(3)), frames=2),
            "frames: expected 3 (one a point) to 16, got 2",
        ),
        (
            Interpolation((LatentPoint(1), LatentPoint(2)), frames=17),
            "frames: expected 2 (one a point) to 16, got 17",
        ),
        (Interpolation((LatentPoint(1), LatentPoint(-2))), "seed: expected 0 to"),
        (Arithmetic(()), "terms of arithmetic: expected 1 to 1024, got 0"),
        (Arithmetic(((1.0, LatentPoint(0, -1)),)), "index: expected 0 to"),
        (Arithmetic(((math.nan, LatentPoint(0)),)), "arithmetic: expected finite weights, got nan"),
        (
            Arithmetic(((1.0, LatentPoint(0)), (-1.0, LatentPoint(0)))),
            "arithmetic: expected weights that do not cancel out",
        ),
        (
            Arithmetic(((1.5e308, LatentPoint(0)), (1.5e308, LatentPoint(0)))),
            "arithmetic: expected weights that do not cancel out or overflow",
        ),
    ],
)
def test_a_source_that_cannot_be_is_refused(source: LatentSource, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        plan(source)
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("condition", "options", "text"),
    [
        ("none", {"truncation": 0.0}, "truncation: expected a number above 0, got 0.0"),
        ("none", {"truncation": math.nan}, "truncation: expected a number above 0, got nan"),
        ("none", {"truncation": math.inf}, "truncation: expected a number above 0, got inf"),
        ("none", {"class_name": "one"}, "class: model 'm' is not told a class; leave it out"),
        ("none", {"prompt": ""}, "prompt: model 'm' takes no prompts; leave it out"),
        ("class", {"prompt": "a cat"}, "prompt: model 'm' takes no prompts; leave it out"),
        ("prompt", {"class_name": "1"}, "class: model 'm' is not told a class; leave it out"),
        (
            "class",
            {"class_name": "three"},
            "class: expected zero, one, two or a number below 3, got 'three'",
        ),
        ("class", {"class_name": "3"}, "or a number below 3, got '3'"),
        ("class", {"class_name": "-1"}, "or a number below 3, got '-1'"),
        ("class", {"class_name": "9" * 5000}, "or a number below 3, got '999"),
        ("class", {"class_name": "²"}, "or a number below 3, got '²'"),
        ("prompt", {"prompt": "a green cat"}, "prompt: unknown word 'green'; this model knows a,"),
        ("prompt", {"prompt": "a " * 5}, f"prompt: expected at most {PROMPT_LENGTH} words, got 5"),
        ("prompt", {"prompt": "a" * 1001}, "prompt: expected at most 1000 characters, got 1001"),
        (
            "none",
            {"directions": {"wiser": 1.0}},
            "direction: model 'm' has no 'wiser'; it has older, redder, younger",
        ),
        (
            "none",
            {"directions": {"older": math.nan}},
            "strength of direction 'older': expected -100.0 to 100.0, got nan",
        ),
        (
            "none",
            {"directions": {"older": 101.0}},
            "strength of direction 'older': expected -100.0 to 100.0, got 101.0",
        ),
    ],
)
def test_an_option_that_does_not_fit_is_refused(
    condition: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        plan(Samples(seed=0), condition=condition, **options)
    assert text in caught.value.message


def test_truncation_of_given_noise_is_refused() -> None:
    with pytest.raises(InvalidInput, match="truncation: bounds z that is drawn, but z was given"):
        plan(ones(1, LATENT), truncation=1.0)


def test_a_model_without_directions_says_so() -> None:
    task: ImageGenerationTask = limits(directions=()).task
    assert not task.directions
    with pytest.raises(InvalidInput, match="has no 'older'; it has none"):
        plan_images(
            Samples(), ImageOptions(directions={"older": 1.0}), limits("none", directions=())
        )
