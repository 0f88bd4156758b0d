"""Sessions over plain HTTP: kept texts that go on, branch and travel."""

import json
from typing import Any

import pytest
from openai import OpenAI

from tests.e2e.process import Answer, ServerProcess

pytestmark = pytest.mark.e2e


def post(server: ServerProcess, path: str, document: object = None) -> Answer:
    return server.request("POST", path, None if document is None else json.dumps(document))


def begin(server: ServerProcess, **fields: Any) -> dict[str, Any]:
    answer = post(server, "/v1/sessions", {"model": "tiny", "prompt": "the", "seed": 4, **fields})
    assert answer.status == 201, answer.body
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/sessions/{body['id']}"
    return body


def go_on(server: ServerProcess, session: str, **fields: Any) -> str:
    answer = post(server, f"/v1/sessions/{session}/completions", {"max_tokens": 12, **fields})
    assert answer.status == 200, answer.body
    text: str = answer.json()["choices"][0]["text"]
    return text


@pytest.fixture(scope="module")
def whole(text_server: ServerProcess) -> str:
    """36 symbols written without a pause."""
    document = {"model": "tiny", "prompt": "the", "seed": 4, "max_tokens": 36}
    text: str = post(text_server, "/v1/completions", document).json()["choices"][0]["text"]
    return text


def test_session_tells_what_it_is(text_server: ServerProcess) -> None:
    session = begin(text_server)
    assert session["object"] == "session"
    assert (session["model"], session["version"], session["seed"]) == ("tiny", "1", 4)
    assert (session["text"], session["symbols"], session["position"]) == ("the", 3, 0)
    assert session["created"] < session["expires"]
    assert session["in_use"] is False
    assert "replaced_characters" not in session
    again = text_server.request("GET", f"/v1/sessions/{session['id']}").json()
    assert again == session


def test_parts_of_a_session_are_one_text(text_server: ServerProcess, whole: str) -> None:
    session = begin(text_server)["id"]
    parts = [go_on(text_server, session) for _ in range(3)]
    assert "".join(parts) == whole
    known = text_server.request("GET", f"/v1/sessions/{session}").json()
    assert known["text"].endswith(whole[-5:])
    assert (known["symbols"], known["position"]) == (39, 36)


def test_session_may_stand_in_the_body_and_be_streamed(
    text_server: ServerProcess, whole: str
) -> None:
    session = begin(text_server)["id"]
    with OpenAI(base_url=f"http://{text_server.http_address}/v1", api_key="any") as client:
        stream = client.completions.create(
            model="tiny", prompt="", max_tokens=36, stream=True, extra_body={"session": session}
        )
        assert "".join(chunk.choices[0].text for chunk in stream) == whole


def test_path_of_a_session_serves_the_openai_package(
    text_server: ServerProcess, whole: str
) -> None:
    url = f"http://{text_server.http_address}/v1/sessions/{begin(text_server)['id']}"
    with OpenAI(base_url=url, api_key="any") as client:
        answer = client.completions.create(model="tiny", prompt="", max_tokens=36)
    assert answer.choices[0].text == whole


def test_prompt_within_a_session_is_read_behind_its_text(text_server: ServerProcess) -> None:
    session = begin(text_server, prompt="th")["id"]
    assert go_on(text_server, session, prompt="e", seed=4) == go_on(
        text_server, begin(text_server)["id"]
    )


def test_fork_leaves_two_texts_at_one_place(text_server: ServerProcess, whole: str) -> None:
    session = begin(text_server)["id"]
    go_on(text_server, session)
    answer = post(text_server, f"/v1/sessions/{session}/fork")
    assert answer.status == 201
    fork = answer.json()["id"]
    assert fork != session
    assert go_on(text_server, fork) == whole[12:24]
    other = go_on(text_server, fork, seed=99)
    assert go_on(text_server, session, max_tokens=24) == whole[12:]
    assert other != whole[24:]


def test_session_travels_as_bytes(text_server: ServerProcess, whole: str) -> None:
    session = begin(text_server)["id"]
    go_on(text_server, session)
    exported = text_server.request("GET", f"/v1/sessions/{session}/export")
    assert exported.headers["content-type"] == "application/octet-stream"
    answer = text_server.request("POST", "/v1/sessions/import", exported.body)
    assert answer.status == 201
    assert go_on(text_server, answer.json()["id"]) == whole[12:24]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:40], lambda b: b"", bytes.swapcase]
)
def test_damaged_export_is_refused(text_server: ServerProcess, damage: Any) -> None:
    session = begin(text_server)["id"]
    blob = text_server.request("GET", f"/v1/sessions/{session}/export").body
    answer = text_server.request("POST", "/v1/sessions/import", damage(blob))
    assert answer.status == 400
    assert answer.error


def test_state_can_be_looked_at(text_server: ServerProcess) -> None:
    session = begin(text_server)["id"]
    body = text_server.request("GET", f"/v1/sessions/{session}?state=true").json()
    assert body["state"]
    for tensor in body["state"]:
        assert tensor["datatype"] == "FP32"
        assert len(tensor["data"]) == tensor["shape"][-1] * (
            1 if len(tensor["shape"]) == 1 else tensor["shape"][0]
        )
    assert any(any(tensor["data"]) for tensor in body["state"]), "the prompt left its mark"


def test_deleted_session_is_gone(text_server: ServerProcess) -> None:
    session = begin(text_server)["id"]
    answer = text_server.request("DELETE", f"/v1/sessions/{session}")
    assert (answer.status, answer.body) == (204, b"")
    assert text_server.request("GET", f"/v1/sessions/{session}").status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sessions/nobody"),
        ("GET", "/v1/sessions/nobody/export"),
        ("POST", "/v1/sessions/nobody/fork"),
        ("DELETE", "/v1/sessions/nobody"),
    ],
)
def test_unknown_session_is_not_found(text_server: ServerProcess, method: str, path: str) -> None:
    answer = text_server.request(method, path)
    assert answer.status == 404
    assert "nobody" in answer.error


def test_unknown_session_of_a_completion_is_not_found(text_server: ServerProcess) -> None:
    answer = post(text_server, "/v1/sessions/nobody/completions", {})
    assert answer.status == 404
    assert answer.json()["error"]["code"] == "session_not_found"


def test_session_of_another_model_is_refused(text_server: ServerProcess) -> None:
    session = begin(text_server)["id"]
    answer = post(
        text_server, "/v1/completions", {"model": "newer", "prompt": "", "session": session}
    )
    assert answer.status in (400, 409)


def test_replaced_characters_are_named(text_server: ServerProcess) -> None:
    session = begin(text_server, prompt="“a”")
    assert {entry["character"] for entry in session["replaced_characters"]} == {"“", "”"}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"model": 7},
        {"model": "tiny", "prompt": 7},
        {"model": "tiny", "seed": "x"},
        {"model": "tiny", "max_tokens": 3},
        {"model": "plus"},
        [],
    ],
)
def test_bad_request_is_refused(text_server: ServerProcess, document: object) -> None:
    answer = post(text_server, "/v1/sessions", document)
    assert 400 <= answer.status < 500 or answer.status == 501
    assert answer.error
