"""Whatever a stranger sends to the doors of text: never a 5xx, always an error in words."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.process import Answer, ServerProcess

pytestmark = pytest.mark.e2e
bounded = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RIGHT: dict[str, list[Any]] = {
    "model": ["tiny", "newer:2", "plus", "nobody"],
    "prompt": ["a", ["a", "b"], [1, 2], [[1], [2, 3]], "“\u0000😀"],
    "max_tokens": [0, 1, 3, 2**31, -1],
    "temperature": [0, 0.5, 2, -1, 1e308],
    "top_p": [0, 0.5, 1, 2],
    "n": [0, 1, 3, 2**31],
    "stream": [True, False],
    "stream_options": [{}, {"include_usage": True}],
    "logprobs": [0, 2, 20, 21],
    "echo": [True, False],
    "stop": ["a", ["a", "bc"], "", [""], ["a"] * 200],
    "presence_penalty": [0, 1.5, -1e300],
    "frequency_penalty": [0, 1.5, 1e300],
    "best_of": [1, 3, 0],
    "seed": [0, 7, 2**63 - 1, 2**63, -1],
    "user": ["u", "", "x" * 1000],
    "suffix": ["", "end"],
    "logit_bias": [{}, {"1": 2}],
    "top_k": [0, 2, 2**40, -2],
    "repetition_penalty": [1, 1e-300, 0],
    "beam_width": [1, 2, 0, 1000],
    "length_penalty": [0, 1e300, -1e300],
    "unknown": ["map", "refuse"],
    "receipt": [{}, {"seed": 1}],
    "session": ["", "nobody"],
}
"""Values of each field that have its type, good ones and bad."""

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=8),
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


def fields(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of some of the fields, most of their values of the right type."""
    optional: dict[Any, st.SearchStrategy[Any]] = {
        name: st.sampled_from(RIGHT[name]) | st.sampled_from(RIGHT[name]) | anything
        for name in names
    }
    return st.fixed_dictionaries({}, optional={**optional, "other": anything})


completions = fields(list(RIGHT))
sessions = fields(["model", "prompt", "seed", "unknown", "user"])
generate = st.fixed_dictionaries(
    {},
    optional={
        "text_input": st.sampled_from(["a", "“😀"]) | anything,
        "parameters": fields(["max_tokens", "temperature", "stop", "seed", "top_k"]) | anything,
        "sequence_id": st.sampled_from([0, 1, "s"]) | anything,
        "sequence_start": leaves,
        "sequence_end": leaves,
        **{name: st.sampled_from(RIGHT[name]) for name in ("max_tokens", "seed", "echo")},
    },
)


def assert_no_fault(answer: Answer) -> None:
    assert answer.status < 500 or answer.status == 501, answer.body
    if answer.status >= 400:
        assert answer.json()["error"]


def post(server: ServerProcess, path: str, document: object) -> Answer:
    return server.request("POST", path, json.dumps(document))


@bounded
@given(completions)
def test_completions(text_server: ServerProcess, document: dict[str, Any]) -> None:
    answer = post(text_server, "/v1/completions", {"model": "tiny", **document})
    assert answer.status < 500, answer.body
    assert_no_fault(answer)


@bounded
@given(generate, st.sampled_from(["generate", "generate_stream"]))
def test_generate(text_server: ServerProcess, document: dict[str, Any], verb: str) -> None:
    assert_no_fault(post(text_server, f"/v2/models/tiny/{verb}", document))


@bounded
@given(sessions)
def test_sessions(text_server: ServerProcess, document: dict[str, Any]) -> None:
    answer = post(text_server, "/v1/sessions", {"model": "tiny", **document})
    assert_no_fault(answer)
    if answer.status == 201:
        text_server.request("DELETE", answer.headers["location"])


@bounded
@given(st.binary(max_size=200), st.sampled_from(["completions", "sessions", "sessions/import"]))
def test_bytes(text_server: ServerProcess, body: bytes, path: str) -> None:
    answer = text_server.request("POST", f"/v1/{path}", body)
    assert 400 <= answer.status < 500
    assert_no_fault(answer)


def test_server_is_well_behind_all_of_it(text_server: ServerProcess) -> None:
    document = {"model": "tiny", "prompt": "the", "max_tokens": 5}
    assert post(text_server, "/v1/completions", document).status == 200
