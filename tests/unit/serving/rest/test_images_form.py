"""Formats by header and by name, sheets, strips and animations, and what is too large."""

import numpy as np
import pytest

from quartet.image_generation import ImageGenerationTask
from serving.errors import InvalidInput, NotAcceptable
from serving.image_types import (
    Arithmetic,
    GivenLatents,
    Interpolation,
    LatentPoint,
    LatentSource,
    Samples,
    SeedList,
)
from serving.rest.images_form import (
    DEFAULT_FPS,
    FORMATS,
    AnswerForm,
    Wishes,
    check_pixels,
    choose_form,
    picture_count,
)

ONE, MANY = Samples(1), Samples(1, 10)
PATH = Interpolation((LatentPoint(1), LatentPoint(2)), 5)
CHROME_PAGE = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
CHROME_PICTURE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
TASK = ImageGenerationTask(latent_size=2, height=10, width=20)


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        *((None, "png"), ("", "png"), ("*/*", "png"), ("image/*", "png")),
        *((CHROME_PAGE, "png"), ("image/gif", "gif"), ("image/png;q=0.1, image/jpeg", "jpeg")),
        *(("image/*;q=0.2, image/png;q=0", "jpeg"), ("application/json", "json")),
        *(("application/octet-stream", "raw"), ("application/x-npy, */*;q=0.1", "npy")),
        *(("image/apng", "apng"), ("IMAGE/WEBP", "webp"), ("text/html, image/gif", "gif")),
    ],
)
def test_header_chooses_the_format(accept: str | None, name: str) -> None:
    assert choose_form(Wishes(), accept, ONE).format == name


def test_picture_element_of_a_browser_gets_a_format_that_it_lists() -> None:
    assert choose_form(Wishes(), CHROME_PICTURE, ONE).format in ("png", "webp", "apng")


def test_format_goes_before_the_header() -> None:
    assert choose_form(Wishes(format="webp"), "application/json", ONE).media_type == "image/webp"


def test_header_without_any_of_the_formats_is_refused_with_their_names() -> None:
    with pytest.raises(NotAcceptable) as error:
        choose_form(Wishes(), "text/html", ONE)
    assert all(media_type in error.value.message for media_type in FORMATS.values())


@pytest.mark.parametrize(
    ("source", "columns"),
    [(ONE, 1), (MANY, 4), (Samples(1, 16), 4), (Samples(1, 64), 8), (Samples(1, 2), 2), (PATH, 5)],
)
def test_pictures_become_a_square_and_a_way_becomes_a_strip(
    source: LatentSource, columns: int
) -> None:
    expected = AnswerForm("png", "sheet", columns=columns)
    assert choose_form(Wishes(), None, source) == expected


@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "gif", "apng"])
def test_grid_makes_a_sheet_of_anything(name: str) -> None:
    for source in (ONE, MANY, PATH):
        form = choose_form(Wishes(format=name, columns=3), None, source)
        assert (form.layout, form.columns) == ("sheet", 3)


@pytest.mark.parametrize("name", ["webp", "gif", "apng"])
def test_way_moves_where_the_format_can(name: str) -> None:
    form = choose_form(Wishes(format=name), None, PATH)
    assert (form.layout, form.fps) == ("animation", DEFAULT_FPS)
    assert choose_form(Wishes(format=name, fps=30.0), None, PATH).fps == 30.0


def test_samples_move_in_gif_and_apng_and_in_webp_if_they_have_a_speed() -> None:
    layouts = {n: choose_form(Wishes(format=n), None, MANY).layout for n in ("gif", "apng", "webp")}
    assert layouts == {"gif": "animation", "apng": "animation", "webp": "sheet"}
    assert choose_form(Wishes(format="webp", fps=5.0), None, MANY).layout == "animation"


@pytest.mark.parametrize("name", ["json", "raw", "npy"])
def test_pictures_stay_separate_in_formats_that_hold_many(name: str) -> None:
    assert choose_form(Wishes(format=name), None, PATH) == AnswerForm(name, "separate")


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(columns=0), "grid: expected at least 1 column, got 0"),
        (Wishes(columns=2, format="json"), "grid: got 2 with the format json"),
        (Wishes(fps=5.0), "fps: got 5.0 with png"),
        (Wishes(fps=5.0, format="raw"), "fps: got 5.0 with the format raw"),
        (Wishes(fps=5.0, columns=2, format="gif"), "fps: got 5.0 with a sheet"),
        (Wishes(fps=0.05, format="gif"), "fps: expected 0.1 to 50.0"),
        (Wishes(fps=51.0, format="gif"), "fps: expected 0.1 to 50.0"),
        (Wishes(quality=80), "quality: got 80 with the format png"),
        (Wishes(quality=80, format="json"), "quality: got 80 with the format json"),
        (Wishes(quality=0, format="jpeg"), "quality: expected 1 to 100, got 0"),
    ],
)
def test_wish_that_nobody_would_heed_is_refused_by_its_name(wishes: Wishes, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        choose_form(wishes, None, PATH)
    assert error.value.message.startswith(message)


def test_pictures_are_counted_before_they_are_made() -> None:
    z = np.zeros((3, 2), np.float32)
    sources = (MANY, SeedList((1, 2)), GivenLatents(z), PATH, Arithmetic(((1.0, LatentPoint(1)),)))
    assert [picture_count(source) for source in sources] == [10, 2, 3, 5, 1]


@pytest.mark.parametrize("layout", ["sheet", "animation"])
def test_file_of_too_many_pixels_is_refused(layout: str) -> None:
    form = AnswerForm("webp", "sheet" if layout == "sheet" else "animation", columns=4)
    check_pixels(form, 8, TASK, max_pixels=1600)
    field = "grid" if layout == "sheet" else "frames"
    with pytest.raises(InvalidInput, match=rf"^{field}: 9 pictures of 20 x 10 make "):
        check_pixels(form, 9, TASK, max_pixels=1600)


def test_places_without_a_picture_count_as_pixels() -> None:
    with pytest.raises(InvalidInput, match=r"^grid: 9 pictures .* make 2400 pixels"):
        check_pixels(AnswerForm("png", "sheet", columns=4), 9, TASK, max_pixels=2399)


def test_side_that_a_format_cannot_hold_is_refused() -> None:
    wide = AnswerForm("webp", "sheet", columns=900)
    with pytest.raises(InvalidInput, match=r"^grid: 900 columns and 1 rows make 18000 x 10"):
        check_pixels(wide, 900, TASK, max_pixels=10**9)
    check_pixels(AnswerForm("png", "sheet", columns=900), 900, TASK, max_pixels=10**9)


def test_separate_pictures_have_no_file_to_be_too_large() -> None:
    check_pixels(AnswerForm("raw", "separate"), 1000, TASK, max_pixels=1)
