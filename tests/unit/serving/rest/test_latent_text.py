"""Seeds, points, sums and directions as people write them."""

from urllib.parse import parse_qs, quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import InvalidInput
from serving.image_types import Arithmetic, LatentPoint
from serving.rest.latent_text import (
    MAX_POINTS,
    parse_arithmetic,
    parse_directions,
    parse_points,
    parse_seeds,
    with_strength,
)

NAME = "arithmetic"
SEEDS = st.integers(0, 2**63 - 1)
POINTS = st.builds(LatentPoint, SEEDS, st.integers(0, 2**32 - 1))
SPACE = st.sampled_from(["", " ", "  ", "\t"])


def terms(text: str) -> tuple[tuple[float, LatentPoint], ...]:
    return parse_arithmetic(NAME, text).terms


def point_text(point: LatentPoint) -> str:
    return f"{point.seed}:{point.index}" if point.index else str(point.seed)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", (7,)),
        ("1,5,9", (1, 5, 9)),
        ("0-3", (0, 1, 2, 3)),
        (" 9 , 2 - 4, 9", (9, 2, 3, 4, 9)),
        (str(2**63 - 1), (2**63 - 1,)),
    ],
)
def test_seeds_and_ranges_keep_their_order(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds("seeds", text, 64) == seeds


@pytest.mark.parametrize("text", ["", ",", "1,,2", "a", "-1", "1-", "1.5", "1:2", "٣", "1-2-3"])
def test_text_that_names_no_seeds_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^seeds: expected seeds like '1,5,9'"):
        parse_seeds("seeds", text, 64)


def test_range_from_the_upper_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^seeds: expected ranges from the lower seed on"):
        parse_seeds("seeds", "9-2", 64)


@pytest.mark.parametrize("text", ["0-64", f"0-{2**63 - 1}", "0-40,0-40"])
def test_more_seeds_than_may_be_asked_for_are_refused_before_they_are_made(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^seeds: expected 1 to 64 seeds, got "):
        parse_seeds("seeds", text, 64)


def test_points_may_have_an_index() -> None:
    expected = (LatentPoint(7), LatentPoint(12, 3), LatentPoint(31))
    assert parse_points("interpolate", "7, 12:3 ,31") == expected


@pytest.mark.parametrize("text", ["", "7,", "7:", ":3", "7:3:1", "7-9", "x"])
def test_text_that_names_no_points_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^interpolate: expected seeds like '7'"):
        parse_points("interpolate", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", [(1, 7, 0)]),
        ("7 - 12 + 31", [(1, 7, 0), (-1, 12, 0), (1, 31, 0)]),
        ("7-12+31", [(1, 7, 0), (-1, 12, 0), (1, 31, 0)]),
        ("-7 + 12:3", [(-1, 7, 0), (1, 12, 3)]),
        ("0.5*7 + .25 * 12 - 2.*9", [(0.5, 7, 0), (0.25, 12, 0), (-2, 9, 0)]),
        ("(1, 2) - (4,5:1)", [(0.5, 1, 0), (0.5, 2, 0), (-0.5, 4, 0), (-0.5, 5, 1)]),
        ("3*(1,2,3,4)", [(0.75, seed, 0) for seed in (1, 2, 3, 4)]),
        ("7 + -12", [(1, 7, 0), (-1, 12, 0)]),
    ],
)
def test_sum_has_a_weight_for_each_point(text: str, expected: list[tuple[float, int, int]]) -> None:
    assert [(weight, p.seed, p.index) for weight, p in terms(text)] == expected


@pytest.mark.parametrize("text", ["7 - 12 + 31", "(1,2,3) + (4,5,6) - 9", "0.5*7 + 0.5*12:3"])
def test_plus_that_a_url_made_a_space_means_the_same(text: str) -> None:
    escaped, bare = (parse_qs(f"a={form}")["a"][0] for form in (quote(text), text.replace(" ", "")))
    assert "+" not in bare
    assert terms(bare) == terms(escaped) == terms(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "+", "-", "7 -", "7 +", "*7", "2**7", "(7", "7)", "()", "(1,)", "(-1)"),
        *("7 +-+ 8", "--7", "a", "7a", "7;8", "1e3*7", "7:", "7:1:2", "(1,2)(3)", "7(8)", "1,2"),
    ],
)
def test_text_that_is_no_sum_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^arithmetic: expected "):
        terms(text)


def test_error_says_where_the_sum_ends_to_make_sense() -> None:
    with pytest.raises(InvalidInput, match=r"at character 5, got 'x\+ 3'$"):
        terms("7 - x+ 3")


def test_sum_of_too_many_points_is_refused() -> None:
    assert len(terms("+".join(["1"] * MAX_POINTS))) == MAX_POINTS
    with pytest.raises(InvalidInput, match=f"^arithmetic: expected 1 to {MAX_POINTS} points"):
        terms("+".join(["1"] * (MAX_POINTS + 1)))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_sum_is_read_as_it_was_written(data: st.DataObject) -> None:
    written, expected = "", []
    for number in range(data.draw(st.integers(1, 6))):
        sign = data.draw(st.sampled_from("+-"))
        weight = data.draw(st.one_of(st.none(), st.integers(0, 10**6)))
        points = data.draw(st.lists(POINTS, min_size=1, max_size=4))
        space = data.draw(SPACE)
        body = ",".join(map(point_text, points))
        body = f"({body})" if len(points) > 1 or data.draw(st.booleans()) else body
        factor = "" if weight is None else f"{weight / 1000:.3f}*{space}"
        written += space + ("" if number == 0 and sign == "+" else sign) + space + factor + body
        value = (1.0 if weight is None else weight / 1000) * (-1 if sign == "-" else 1)
        expected += [(value / len(points), point) for point in points]
    found = terms(written)
    assert [point for _, point in found] == [point for _, point in expected]
    np.testing.assert_array_equal([w for w, _ in found], [w for w, _ in expected])


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="0123456789+-*(),.: \tae", max_size=40))
def test_any_text_is_a_sum_or_refused(text: str) -> None:
    try:
        found = parse_arithmetic(NAME, text)
    except InvalidInput as error:
        assert error.message.startswith("arithmetic: ")  # noqa: PT017  any other error fails
    else:
        assert isinstance(found, Arithmetic)
        assert found.terms


def test_directions_have_strengths_of_their_own_or_that_of_all() -> None:
    found = parse_directions("direction", "older, female:-1 ,thin:.5")
    assert found == {"older": None, "female": -1.0, "thin": 0.5}
    assert with_strength("direction", found, 2.0) == {"older": 2.0, "female": -1.0, "thin": 0.5}
    assert with_strength("direction", found, None)["older"] == 1.0


@pytest.mark.parametrize("text", ["", "older:", "older:x", "older:1e9", "older:nan", "1", "a b"])
def test_text_that_names_no_direction_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^direction: expected directions like 'older'"):
        parse_directions("direction", text)


def test_direction_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^direction: 'older' stands there twice"):
        parse_directions("direction", "older:1,older:2")


@pytest.mark.parametrize("directions", [{}, {"older": 1.0}])
def test_strength_that_nothing_takes_is_refused(directions: dict[str, float | None]) -> None:
    with pytest.raises(InvalidInput, match=r"^strength: got 2\.0, expected a 'direction' without"):
        with_strength("direction", directions, 2.0)
