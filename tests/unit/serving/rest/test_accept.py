"""Negotiation of the answer's media type."""

import pytest

from serving.errors import NotAcceptable
from serving.rest.accept import choose_type

JSON, PNG, EVENTS = "application/json", "image/png", "text/event-stream"
OFFERED = (JSON, PNG, EVENTS)


@pytest.mark.parametrize("accept", [None, "", "  ", "*/*", "text/html, */*;q=0.8"])
def test_client_that_takes_anything_gets_the_first(accept: str | None) -> None:
    assert choose_type(accept, OFFERED) == JSON


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("image/png", PNG),
        ("IMAGE/PNG", PNG),
        ("image/*", PNG),
        ("text/event-stream", EVENTS),
        ("image/png;q=0.4, text/event-stream;q=0.5", EVENTS),
        ("image/png; charset=x ;q=0.4, application/json ; q=0.3", PNG),
        ("application/json;q=0.1, */*", PNG),
        ("image/png, application/json", JSON),
        ("*/*, application/json;q=0, image/*;q=0", EVENTS),
        ("text/*;q=0.2, image/png;q=0.1", EVENTS),
        ("application/json;q=x, image/png;q=0.1", PNG),
    ],
)
def test_type_of_most_weight_is_chosen(accept: str, expected: str) -> None:
    assert choose_type(accept, OFFERED) == expected


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/png;q=0", ","])
def test_client_that_takes_nothing_of_it_is_told_what_there_is(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/json or text/event-stream"):
        choose_type(accept, (JSON, EVENTS))
