"""Generated pictures over plain HTTP, from models of random weights."""

import base64
import io
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from quartet.latents import latents
from serving.image_types import Pixels
from serving.rest.images_form import FORMATS
from serving.rest.images_request import IMAGE_FIELDS
from tests.e2e.process import Answer, ServerProcess
from tests.image_models import CLASSES, LATENT, SIDE, WORDS

pytestmark = pytest.mark.e2e
FACES = "/v1/images/faces"
PINNED = f"{FACES}/versions/2"


def get(
    server: ServerProcess, path: str = FACES, *, method: str = "GET", accept: str = "", **said: Any
) -> Answer:
    """``said``: parameters; ``if_none_match`` becomes the header."""
    headers = {"accept": accept} if accept else {}
    if "if_none_match" in said:
        headers["if-none-match"] = said.pop("if_none_match")
    return server.request(method, f"{path}?{urlencode(said)}", headers=headers)


def pixels_of(answer: Answer) -> Pixels:
    """[N, H, W, C] of a raw answer."""
    assert answer.status == 200, answer.body
    shape = tuple(map(int, answer.headers["quartet-shape"].split(",")))
    assert answer.headers["quartet-dtype"] == "uint8"
    return np.frombuffer(answer.body, np.uint8).reshape(shape)


def raw(server: ServerProcess, path: str = FACES, **said: Any) -> Pixels:
    return pixels_of(get(server, path, format="raw", **said))


def file_pixels(data: bytes, mode: str = "RGB") -> Pixels:
    """Frames [N, H, W, C] of a file."""
    with Image.open(io.BytesIO(data)) as image:
        frames = [np.asarray(frame.convert(mode)) for frame in ImageSequence.Iterator(image)]
    return np.stack(frames).reshape(
        len(frames), *frames[0].shape[:2], len(Image.new(mode, (1, 1)).getbands())
    )


def post(server: ServerProcess, path: str, document: Mapping[str, Any], **headers: str) -> Answer:
    return server.request(
        "POST", path, json.dumps(document), {"content-type": "application/json", **headers}
    )


def test_sheet_has_the_pictures_of_the_seed_row_by_row(image_server: ServerProcess) -> None:
    answer = get(image_server, seed=7, n=6, grid=4)
    assert answer.headers["content-type"] == "image/png"
    (sheet,) = file_pixels(answer.body)
    alone = raw(image_server, seed=7, n=6)
    assert sheet.shape == (2 * SIDE, 4 * SIDE, 3)
    for number in range(6):
        top, left = number // 4 * SIDE, number % 4 * SIDE
        np.testing.assert_array_equal(sheet[top : top + SIDE, left : left + SIDE], alone[number])


def test_many_of_one_call_are_those_of_as_many_calls(image_server: ServerProcess) -> None:
    together = raw(image_server, seed=7, n=4)
    for number in range(4):
        (alone,) = raw(image_server, seed=7, index=number)
        np.testing.assert_array_equal(alone, together[number])
    listed = raw(image_server, seeds="7,3,7")
    np.testing.assert_array_equal(listed[0], listed[2])
    np.testing.assert_array_equal(listed[0], together[0])


@pytest.mark.parametrize("name", ["png", "webp", "apng"])
def test_files_without_loss_have_the_very_pixels(image_server: ServerProcess, name: str) -> None:
    answer = get(image_server, seed=7, accept=FORMATS[name])
    assert answer.headers["content-type"] == FORMATS[name]
    np.testing.assert_array_equal(file_pixels(answer.body), raw(image_server, seed=7))


@pytest.mark.parametrize(("name", "kind"), [("jpeg", "JPEG"), ("gif", "GIF")])
def test_other_files_are_of_their_kind(image_server: ServerProcess, name: str, kind: str) -> None:
    with Image.open(io.BytesIO(get(image_server, seed=7, format=name).body)) as image:
        assert (image.format, image.size) == (kind, (SIDE, SIDE))


def test_arrays_are_the_pixels(image_server: ServerProcess) -> None:
    answer = get(image_server, seeds="3-5", accept="application/x-npy")
    assert answer.headers["quartet-shape"] == f"3,{SIDE},{SIDE},3"
    found = np.load(io.BytesIO(answer.body))
    np.testing.assert_array_equal(found, raw(image_server, seeds="3-5"))


def test_json_tells_each_picture_and_its_noise(image_server: ServerProcess) -> None:
    answer = get(image_server, seed=9, n=2, index=5, accept="application/json")
    body = answer.json()
    assert (body["model_name"], body["model_version"], body["seed"]) == ("faces", "2", 9)
    assert (body["height"], body["width"], body["channels"]) == (SIDE, SIDE, 3)
    assert len(bytes.fromhex(body["fingerprint"])) == 32
    assert [(one["seed"], one["index"]) for one in body["images"]] == [(9, 5), (9, 6)]
    files = [file_pixels(base64.b64decode(one["image"]))[0] for one in body["images"]]
    np.testing.assert_array_equal(files, raw(image_server, seed=9, n=2, index=5))


def test_grey_pictures_stay_grey(image_server: ServerProcess) -> None:
    answer = get(image_server, "/v1/images/digits", seed=1)
    with Image.open(io.BytesIO(answer.body)) as image:
        assert image.mode == "L"
    assert raw(image_server, "/v1/images/digits", seed=1).shape == (1, SIDE, SIDE, 1)


def test_way_begins_and_ends_at_its_points(image_server: ServerProcess) -> None:
    way = raw(image_server, interpolate="7,12:3", frames=5)
    np.testing.assert_array_equal(way[0], raw(image_server, seed=7)[0])
    np.testing.assert_array_equal(way[-1], raw(image_server, seed=12, index=3)[0])
    assert len(np.unique(way.reshape(5, -1), axis=0)) == 5
    (strip,) = file_pixels(get(image_server, interpolate="7,12:3", frames=5).body)
    np.testing.assert_array_equal(strip, np.concatenate(list(way), axis=1))


@pytest.mark.parametrize("name", ["gif", "webp", "apng"])
def test_way_moves_in_formats_that_can(image_server: ServerProcess, name: str) -> None:
    answer = get(image_server, interpolate="7,12", frames=6, closed="true", fps=10, format=name)
    frames = file_pixels(answer.body)
    way = raw(image_server, interpolate="7,12", frames=6, closed="true")
    # A GIF's palette holds the mean of colours that are nearly alike: in a cube of 16 levels.
    assert np.abs(frames.astype(int) - way).max() <= (16 if name == "gif" else 0)


def test_sum_of_a_point_alone_is_its_picture(image_server: ServerProcess) -> None:
    alone = raw(image_server, seed=7, index=3)
    for text in ("7:3", "2*7:3", "7:3 + 7:3"):
        np.testing.assert_array_equal(raw(image_server, arithmetic=text), alone)


def test_sum_means_the_same_with_a_plus_that_became_a_space(image_server: ServerProcess) -> None:
    answers = [
        image_server.request("GET", f"{FACES}?format=raw&arithmetic={text}")
        for text in (quote("7 - 12 + 31"), "7-12+31", "7+-+12+%2B+31")
    ]
    assert answers[0].body == answers[1].body == answers[2].body
    assert answers[0].headers["etag"] == answers[1].headers["etag"]


def test_noise_that_is_given_is_that_of_the_seed(image_server: ServerProcess) -> None:
    z = latents(np.array([7], np.uint64), np.array([3]), LATENT)
    text = json.dumps(z.astype(float).tolist())
    by_seed = raw(image_server, seed=7, index=3)
    np.testing.assert_array_equal(raw(image_server, z=text), by_seed)
    posted = post(image_server, FACES, {"z": z[0].astype(float).tolist(), "format": "raw"})
    np.testing.assert_array_equal(pixels_of(posted), by_seed)


def test_direction_and_its_opposite_change_the_picture(image_server: ServerProcess) -> None:
    plain, older, younger = (
        raw(image_server, seed=7, **said)
        for said in ({}, {"direction": "older"}, {"direction": "younger:1"})
    )
    assert not np.array_equal(plain, older)
    assert not np.array_equal(plain, younger)
    back = raw(image_server, seed=7, direction="older", strength=-1)
    np.testing.assert_array_equal(back, younger)
    np.testing.assert_array_equal(raw(image_server, seed=7, direction="older:0"), plain)


def test_class_is_drawn_with_the_noise_or_named(image_server: ServerProcess) -> None:
    path = "/v1/images/digits"
    drawn = get(image_server, path, seed=7, n=16, format="json").json()["images"]
    assert {one["class"] for one in drawn} == set(CLASSES)
    named = get(image_server, path, seed=7, n=16, format="json", **{"class": "two"}).json()
    assert {one["class"] for one in named["images"]} == {"two"}
    by_number = get(image_server, path, seed=7, n=16, format="json", **{"class": "2"}).json()
    assert by_number["images"] == named["images"]


def test_prompt_is_told_and_has_a_default(image_server: ServerProcess) -> None:
    path = "/v1/images/words"
    by_default, same, other = (
        get(image_server, path, seed=7, format="json", **said).json()
        for said in ({}, {"prompt": "a cat"}, {"prompt": "a red dog"})
    )
    assert (by_default["prompt"], other["prompt"]) == ("a cat", "a red dog")
    assert by_default["images"] == same["images"] != other["images"]


def test_drawn_seed_is_told_and_gives_the_picture_again(image_server: ServerProcess) -> None:
    first = get(image_server, n=2, format="raw")
    assert first.headers["cache-control"] == "no-store"
    assert "etag" not in first.headers
    seed = first.headers["quartet-seed"]
    np.testing.assert_array_equal(raw(image_server, seed=seed, n=2), pixels_of(first))
    assert get(image_server, n=2).headers["quartet-seed"] != seed


def test_version_stands_in_the_path_and_pins_the_answer(image_server: ServerProcess) -> None:
    one, two, latest = (
        get(image_server, path, seed=7) for path in (f"{FACES}/versions/1", PINNED, FACES)
    )
    versions = [answer.headers["quartet-model-version"] for answer in (one, two, latest)]
    assert versions == ["1", "2", "2"]
    assert one.body != two.body == latest.body
    assert two.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert latest.headers["cache-control"] == "public, no-cache"
    assert one.headers["etag"] != two.headers["etag"] == latest.headers["etag"]


def test_client_that_has_the_picture_gets_no_other(image_server: ServerProcess) -> None:
    first = get(image_server, PINNED, seed=7)

    def made() -> float:
        return image_server.metric("quartet_images_generated_total", model="faces", version="2")

    before = made()
    again = get(image_server, PINNED, seed=7, if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    for name in ("etag", "cache-control", "vary"):
        assert again.headers[name] == first.headers[name]
    assert made() == before
    other = get(image_server, PINNED, seed=8, if_none_match=first.headers["etag"])
    assert other.status == 200


def test_formats_of_one_address_have_tags_of_their_own(image_server: ServerProcess) -> None:
    answers = [get(image_server, seed=7, accept=accept) for accept in FORMATS.values()]
    assert len({answer.headers["etag"] for answer in answers}) == len(FORMATS)
    assert {answer.headers["vary"] for answer in answers} == {"accept"}
    assert "vary" not in get(image_server, seed=7, format="png").headers


def test_answer_with_a_strong_tag_is_never_compressed(image_server: ServerProcess) -> None:
    path = f"{FACES}?seed=7&n=64&format=raw"
    answer = image_server.request("GET", path, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert len(answer.body) == 64 * SIDE * SIDE * 3


def test_head_tells_what_get_would(image_server: ServerProcess) -> None:
    whole, head = (get(image_server, seed=7, method=method) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (200, b"")
    for name in ("content-type", "content-length", "etag", "cache-control", "quartet-seed"):
        assert head.headers[name] == whole.headers[name]


def test_post_says_the_same_in_json_in_a_form_and_in_the_query(image_server: ServerProcess) -> None:
    fields: dict[str, Any] = {
        "seed": 7,
        "n": 4,
        "grid": 2,
        "direction": "older:2",
        "format": "webp",
    }
    by_get = get(image_server, **fields)
    posted = [
        post(image_server, FACES, fields),
        get(image_server, method="POST", **fields),
        image_server.request(
            "POST",
            FACES,
            urlencode(fields),
            {"content-type": "application/x-www-form-urlencoded"},
        ),
    ]
    for answer in posted:
        assert answer.body == by_get.body
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("said", "beginning"),
    [
        ({"direction": "taller"}, "direction: model 'faces' has no 'taller'; it has older"),
        ({"class": "two"}, "class: model 'faces' is not told a class"),
        ({"prompt": "a cat"}, "prompt: model 'faces' takes no prompts"),
        ({"n": 1025}, "n: expected 1 to 1024 pictures, got 1025"),
        ({"seeds": "0-1024"}, "seeds: expected 1 to 1024 seeds, got 1025"),
        ({"seed": 2**63}, "seed: expected 0 to"),
        ({"seed": -1}, "seed: expected 0 to"),
        ({"seed": 1, "index": 2**32}, "index: expected 0 to"),
        ({"frames": 2000, "interpolate": "1,2"}, "frames: expected 2 (one a point) to 1024"),
        ({"truncation": 0}, "truncation: expected a number above 0, got 0"),
        ({"z": "[1, 2]"}, "z: expected shape [pictures, 8], got [1, 2]"),
        ({"z": "[1e300,0,0,0,0,0,0,0]"}, "z: expected finite float32 numbers"),
        ({"arithmetic": "7 - 7"}, "arithmetic: expected weights that do not cancel out"),
        ({"sead": 7}, "sead: unknown field; expected any of arithmetic, class"),
        ({"quality": 80}, "quality: got 80 with the format png"),
    ],
)
def test_fault_is_named_with_what_was_expected(
    image_server: ServerProcess, said: dict[str, Any], beginning: str
) -> None:
    answer = get(image_server, **said)
    assert answer.status == 400
    assert answer.error.startswith(beginning)


def test_class_that_the_model_has_not_is_refused_with_those_it_has(
    image_server: ServerProcess,
) -> None:
    answer = get(image_server, "/v1/images/digits", **{"class": "nine"})
    assert answer.error == "class: expected zero, one, two or a number below 3, got 'nine'"
    answer = get(image_server, "/v1/images/words", prompt="a green cat")
    assert answer.error.startswith("prompt: unknown word 'green'; this model knows a, red")


def test_other_requests_get_statuses_of_their_own(image_server: ServerProcess) -> None:
    assert get(image_server, "/v1/images/nobody").status == 404
    assert get(image_server, f"{FACES}/versions/9").status == 404
    assert get(image_server, "/v1/images/plus").status == 501
    assert get(image_server, accept="text/plain").status == 406
    refused = get(image_server, method="DELETE")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert get(image_server, f"{FACES}/critique").status == 405
    assert get(image_server, f"{FACES}/versions/x").status == 404


def test_models_are_listed_with_what_they_can_be_asked_for(image_server: ServerProcess) -> None:
    models = image_server.request("GET", "/v1/images").json()["models"]
    named = [(model["model_name"], model["model_version"]) for model in models]
    assert named == [
        *(("blind", "1"), ("digits", "1"), ("faces", "1"), ("faces", "2"), ("words", "1"))
    ]
    digits, words = models[1], models[4]
    assert (digits["condition"], digits["classes"]) == ("class", list(CLASSES))
    assert (digits["height"], digits["width"], digits["channels"]) == (SIDE, SIDE, 1)
    assert (words["words"], words["default_prompt"]) == (list(WORDS[1:]), "a cat")
    assert words["example_prompts"] == ["a red cat", "a blue dog"]
    assert words["directions"] == [
        {"name": "older", "opposite": "younger"},
        {"name": "redder", "opposite": None},
    ]
    told = get(image_server, seed=1, format="json").json()["fingerprint"]
    assert models[3]["fingerprint"] == told


def test_models_of_pictures_are_listed_with_all_others(image_server: ServerProcess) -> None:
    listed = {one["id"] for one in image_server.request("GET", "/v1/models").json()["data"]}
    assert listed == {"faces", "digits", "words", "blind", "plus"}, "no part of a model"
    assert image_server.request("GET", "/v2/models/faces.critic").status == 200


def test_critique_takes_pictures_in_every_form(image_server: ServerProcess) -> None:
    path = f"{FACES}/critique"
    files = [get(image_server, seed=seed).body for seed in (1, 2)]
    alone = [
        image_server.request("POST", path, file, {"content-type": "image/png"}).json()
        for file in files
    ]
    assert alone[0].keys() == {"model_name", "model_version", "probability"}
    assert all(0 <= one["probability"] <= 1 for one in alone)
    assert alone[0] != alone[1]
    texts = [base64.b64encode(file).decode() for file in files]
    request = httpx.Request("POST", "http://server/", files=[("image", file) for file in files])
    form = image_server.request(
        "POST", path, request.read(), {"content-type": request.headers["content-type"]}
    )
    assert form.json() == post(image_server, path, {"images": texts}).json() == {"results": alone}
    assert post(image_server, path, {"image": texts[0]}).json() == alone[0]
    versioned = post(image_server, f"{FACES}/versions/1/critique", {"image": texts[0]}).json()
    assert versioned["model_version"] == "1"


def test_critique_is_told_what_its_model_is_told(image_server: ServerProcess) -> None:
    path = "/v1/images/digits/critique"
    file = get(image_server, "/v1/images/digits", seed=1).body
    png = {"content-type": "image/png"}
    told = [
        image_server.request("POST", f"{path}?class={one}", file, png).json() for one in CLASSES
    ]
    assert len({one["probability"] for one in told}) == len(CLASSES)
    missing = image_server.request("POST", path, file, png)
    assert (missing.status, missing.error) == (
        400,
        "class: expected one of zero, one, two, got none",
    )
    blind = image_server.request("POST", "/v1/images/blind/critique", file, png)
    assert blind.status == 501
    assert image_server.request("POST", f"{FACES}/critique?top_k=3", file, png).status == 400


ODD = ("", "0", "1", "7", "-1", "0-3", "7,12", "7 - 12", "(1,2)-3", "true", "older", "older:2")
ODDER = ("[0,0,0,0,0,0,0,1]", "[[1]]", "nan", "1e400", "9" * 30, "png", "json", "gif", "'", "\0")
VALUES = st.one_of(st.sampled_from(ODD + ODDER), st.text(max_size=12))
NAMES = st.one_of(st.sampled_from([*IMAGE_FIELDS, "size"]), st.text(max_size=5))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fields=st.lists(st.tuples(NAMES, VALUES), max_size=4),
    model=st.sampled_from(["faces", "digits", "words"]),
    accept=st.sampled_from(["*/*", "image/gif", "a", ";q=x", "*/*;q=0", ",,image/png;q=1e9"]),
    posted=st.booleans(),
)
def test_no_parameters_are_the_fault_of_the_server(
    image_server: ServerProcess,
    fields: list[tuple[str, str]],
    model: str,
    accept: str,
    posted: bool,
) -> None:
    path = f"/v1/images/{model}?{urlencode(fields, errors='replace')}"
    answer = image_server.request("POST" if posted else "GET", path, headers={"accept": accept})
    assert answer.status in (200, 400, 406), answer.body
    if answer.status != 200:
        assert answer.error
