import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidInput
from serving.rest.json_codec import parse_json, render_json


@pytest.mark.parametrize("space", [b"", b" \n"])
def test_parse_reads_bare_tokens_that_are_no_json(space: bytes) -> None:
    nan, plus, minus, half = parse_json(b"[NaN,Infinity,-Infinity,%s0.5]" % space)
    assert math.isnan(nan)
    assert (plus, minus, half) == (math.inf, -math.inf, 0.5)


@pytest.mark.parametrize("body", [b"[1e400]", b"[-1e400]", b"[NaN, 1e400]", b"[NaN, -1e400]"])
def test_parse_refuses_numbers_that_no_double_can_hold(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="failed to parse the request JSON"):
        parse_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"nan",
        b'"\xff"',
        b'["NaN", \xff]',
        b'"\\ud800"',
        b'[NaN, "\\ud800"]',
        b'{"\\uDFFF": NaN}',
        b"[" * 5000 + b"]" * 5000,
        b"[NaN, " + b"[" * 100_000 + b"]" * 100_001,
        b"[NaN, " + b"1" * 5000 + b"]",
    ],
)
def test_parse_refuses_what_is_no_json(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="failed to parse the request JSON"):
        parse_json(body)


def test_parse_keeps_the_words_nan_and_infinity_in_text() -> None:
    assert parse_json(b'["NaN", "Infinity"]') == ["NaN", "Infinity"]


def test_parse_joins_surrogates_that_are_a_pair() -> None:
    assert parse_json(b'[NaN, "\\ud83d\\ude00"]')[1] == "😀"


@given(st.binary(max_size=30))
def test_parse_returns_or_refuses_whatever_is_sent(body: bytes) -> None:
    try:
        value = parse_json(body)
    except InvalidInput:
        return
    assert repr(json.loads(body)) == repr(value)


@given(
    st.recursive(
        st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    )
)
def test_parse_returns_what_render_wrote(value: Any) -> None:
    assert repr(parse_json(render_json(value))) == repr(value)
