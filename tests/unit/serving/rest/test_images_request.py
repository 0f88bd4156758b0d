"""What requests for pictures say, in queries, forms and JSON."""

from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson
import pytest

from serving.errors import InvalidInput, UnsupportedEncoding
from serving.image_types import (
    Arithmetic,
    GivenLatents,
    ImageOptions,
    Interpolation,
    LatentPoint,
    Samples,
    SeedList,
)
from serving.rest.images_form import Wishes
from serving.rest.images_request import IMAGE_FIELDS, ImagesCall, parse_images

MOST = 64
FORM = "application/x-www-form-urlencoded"


def in_query(**fields: Any) -> ImagesCall:
    return parse_images(urlencode(fields).encode(), b"", "", MOST)


def in_json(**fields: Any) -> ImagesCall:
    return parse_images(b"", orjson.dumps(fields), "application/json; charset=utf-8", MOST)


def in_form(**fields: Any) -> ImagesCall:
    return parse_images(b"", urlencode(fields).encode(), FORM, MOST)


WAYS = pytest.mark.parametrize("ask", [in_query, in_json, in_form])


def test_nothing_said_means_one_picture_of_a_seed_to_be_drawn() -> None:
    call = parse_images(b"", b"", "", MOST)
    assert call == ImagesCall(source=Samples(), options=ImageOptions(), wishes=Wishes())


@WAYS
def test_numbers_and_texts_mean_the_same_in_each_place(ask: Any) -> None:
    call = ask(
        **{"seed": 2**63 - 1, "n": 16, "index": 4, "truncation": 0.5, "class": "3"},
        **{"prompt": "a red cat", "direction": "older", "strength": -2, "grid": 4},
        **{"format": "jpeg", "quality": 80, "fps": 7.5},
    )
    assert call.source == Samples(2**63 - 1, 16, 4)
    assert call.options == ImageOptions(
        truncation=0.5, class_name="3", prompt="a red cat", directions={"older": -2.0}
    )
    assert call.wishes == Wishes(format="jpeg", columns=4, fps=7.5, quality=80)


@WAYS
def test_every_way_to_name_noise_is_read(ask: Any) -> None:
    assert ask(seeds="1,5-7", index=2).source == SeedList((1, 5, 6, 7), 2)
    path = Interpolation((LatentPoint(7), LatentPoint(12, 3)), 24)
    assert ask(interpolate="7,12:3", frames=24).source == path
    terms = ((1.0, LatentPoint(7)), (-1.0, LatentPoint(12)), (1.0, LatentPoint(31)))
    assert ask(arithmetic="7 - 12 + 31").source == Arithmetic(terms)


def test_json_takes_arrays_objects_and_numbers_for_text() -> None:
    assert in_json(seeds=[3, 1]).source == SeedList((3, 1))
    path = in_json(interpolate=[7, "12:3"], closed=True).source
    assert path == Interpolation((LatentPoint(7), LatentPoint(12, 3)), 16, closed=True)
    options = in_json(**{"class": 3, "direction": {"older": 1.5, "female": -1}}).options
    assert (options.class_name, options.directions) == ("3", {"older": 1.5, "female": -1.0})


def test_interpolation_of_many_points_has_a_frame_for_each() -> None:
    source = in_json(interpolate=list(range(40))).source
    assert isinstance(source, Interpolation)
    assert source.frames == 40


@pytest.mark.parametrize("text", ["[0.5,-1,2]", "[[0.5,-1,2]]", "0.5,-1,2", " 0.5, -1, 2 "])
def test_noise_is_read_from_text(text: str) -> None:
    source = in_query(z=text).source
    assert isinstance(source, GivenLatents)
    assert source.z.dtype == np.float32
    np.testing.assert_array_equal(source.z, [[0.5, -1, 2]])


def test_noise_of_several_pictures_is_read_from_json() -> None:
    source = in_json(z=[[1, 2], [3, 4.5]]).source
    assert isinstance(source, GivenLatents)
    np.testing.assert_array_equal(source.z, [[1, 2], [3, 4.5]])


@pytest.mark.parametrize(
    "z",
    [[], [[]], [[1], [1, 2]], [["1"]], ["a"], [[[1]]], {"a": 1}, [None], [1, "x"], 1, [True], "x"],
)
def test_noise_that_is_no_table_of_numbers_is_refused(z: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^z: expected an array of numbers"):
        in_json(z=z)


def test_number_beyond_float32_is_left_to_the_model_to_refuse() -> None:
    source = in_json(z=[1e300]).source
    assert isinstance(source, GivenLatents)
    assert np.isinf(source.z).all()


def test_body_goes_before_the_query() -> None:
    call = parse_images(b"seed=1&n=2", b'{"seed": 5}', "application/json", MOST)
    assert call.source == Samples(5, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": 1, "seeds": "2"}, "seeds: not together with seed"),
        ({"z": "[1]", "arithmetic": "7"}, "arithmetic: not together with z"),
        ({"n": 2, "seeds": "2"}, "n: not together with seeds; it belongs to seed"),
        ({"index": 2, "interpolate": "1,2"}, "index: not together with interpolate"),
        ({"frames": 2}, "frames: not together with seed; it belongs to interpolate"),
        ({"n": 0}, "n: expected 1 to 64 pictures, got 0"),
        ({"n": 65}, "n: expected 1 to 64 pictures, got 65"),
        ({"n": "many"}, "n: expected a whole number, got the string 'many'"),
        ({"seed": "1.5"}, "seed: expected a whole number, got the number 1.5"),
        ({"seed": ""}, "seed: expected a whole number, got the string ''"),
        ({"interpolate": "7"}, "interpolate: expected 2 to 1024 points, got 1"),
        ({"truncation": "NaN"}, "truncation: expected a finite number"),
        ({"format": "bmp"}, "format: expected 'png' or 'jpeg'"),
        ({"closed": "1", "interpolate": "1,2"}, "closed: expected true or false"),
        ({"size": 3}, f"size: unknown field; expected any of {', '.join(sorted(IMAGE_FIELDS))}"),
        ({"strength": 2}, "strength: got 2.0, expected a 'direction' without one"),
    ],
)
def test_fault_is_named_with_its_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        in_query(**fields)
    assert error.value.message.startswith(message)


def test_field_twice_in_the_query_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^seed: given 2 times, expected once"):
        parse_images(b"seed=1&n=2&seed=1", b"", "", MOST)


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^expected at most 64 parameters"):
        parse_images(b"&".join(b"a%d=1" % i for i in range(65)), b"", "", MOST)


@pytest.mark.parametrize("content_type", ["image/png", "multipart/form-data; boundary=x", "text/x"])
def test_other_bodies_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedEncoding, match=r"expected application/json or "):
        parse_images(b"", b"x", content_type, MOST)
