"""``generate`` and ``generate_stream``: flat JSON for any model, over plain HTTP."""

import json
from typing import Any

import pytest

from tests.e2e.process import Answer, ServerProcess

pytestmark = pytest.mark.e2e
TINY = "/v2/models/tiny"


def post(server: ServerProcess, path: str, **document: Any) -> Answer:
    return server.request("POST", path, json.dumps(document))


def generate(server: ServerProcess, **document: Any) -> dict[str, Any]:
    answer = post(server, f"{TINY}/generate", **document)
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


def events(answer: Answer) -> list[dict[str, Any]]:
    """The objects of a stream, whose framing is checked."""
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    text = answer.body.decode()
    assert text.endswith("\n\n")
    blocks = text.removesuffix("\n\n").split("\n\n")
    assert all(block.startswith("data: {") and "\n" not in block for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def test_text_comes_whole_with_reason_and_receipt(text_server: ServerProcess) -> None:
    body = generate(text_server, text_input="the", max_tokens=20, seed=3, id="7")
    assert body.keys() == {
        "id", "model_name", "model_version", "text_output", "finish_reason", "receipt",
    }  # fmt: skip
    assert (body["id"], body["model_name"], body["model_version"]) == ("7", "tiny", "1")
    assert (len(body["text_output"]), body["finish_reason"]) == (20, "length")
    assert json.loads(body["receipt"])["seed"] == 3


def test_stream_gives_the_same_text_in_pieces_and_no_done(text_server: ServerProcess) -> None:
    asked = {"text_input": "the", "max_tokens": 20, "seed": 3}
    whole = generate(text_server, **asked)
    pieces = events(post(text_server, f"{TINY}/generate_stream", **asked))
    assert "".join(piece["text_output"] for piece in pieces) == whole["text_output"]
    assert len(pieces) >= 3, "20 symbols in runs of 8"
    assert [piece["finish_reason"] for piece in pieces[:-1]] == [""] * (len(pieces) - 1)
    assert pieces[-1]["finish_reason"] == "length"
    assert pieces[-1]["receipt"] == whole["receipt"]


def test_version_may_stand_in_the_path(text_server: ServerProcess) -> None:
    for version in ("2", "3"):
        path = f"/v2/models/newer/versions/{version}/generate"
        assert post(text_server, path, text_input="a").json()["model_version"] == version
    assert post(text_server, "/v2/models/newer/versions/x/generate").status == 404


def test_parameters_may_stand_at_the_top_or_by_themselves(text_server: ServerProcess) -> None:
    top = generate(text_server, text_input="the", seed=3, temperature=0.5)
    inside = generate(text_server, text_input="the", parameters={"seed": 3, "temperature": 0.5})
    assert top["text_output"] == inside["text_output"]


def test_receipt_and_stop_may_be_json(text_server: ServerProcess) -> None:
    first = generate(text_server, text_input="the", max_tokens=40)
    text = first["text_output"]
    again = generate(
        text_server,
        text_input="the",
        max_tokens=40,
        receipt=json.loads(first["receipt"]),
        stop=["#", text[10:14]],
    )
    assert again["text_output"] == text[: text.index(text[10:14])]
    assert again["finish_reason"] == "stop"


def test_unknown_parameter_is_named(text_server: ServerProcess) -> None:
    answer = post(text_server, f"{TINY}/generate", text_input="a", temprature=1)
    assert answer.status == 400
    assert "'temprature'" in answer.error


@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
@pytest.mark.parametrize(
    ("document", "status", "text"),
    [
        ({"text_input": "a", "temperature": -1}, 400, "temperature"),
        ({"text_input": ["a", "b"]}, 400, "The schema can not convert input 'text_input'"),
        ({"text_input": 7}, 400, "text_input"),
        ({}, 400, "text_input"),
        ({"text_input": "a", "max_tokens": "many"}, 400, "max_tokens"),
    ],
)
def test_refusal_has_a_status_and_words(
    text_server: ServerProcess, verb: str, document: dict[str, Any], status: int, text: str
) -> None:
    answer = post(text_server, f"{TINY}/{verb}", **document)
    assert answer.status == status
    assert text in answer.error


@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
def test_unknown_model_is_not_found(text_server: ServerProcess, verb: str) -> None:
    answer = post(text_server, f"/v2/models/nobody/{verb}", text_input="a")
    assert answer.status == 404
    assert answer.error == "Request for unknown model: 'nobody' is not found"


def test_any_model_takes_flat_json(text_server: ServerProcess) -> None:
    answer = post(text_server, "/v2/models/plus/generate", x=[1, 2], id="i")
    assert answer.json() == {
        "id": "i",
        "model_name": "plus",
        "model_version": "1",
        "y": [2.0, 3.0],
    }


def test_any_model_streams_its_one_answer(text_server: ServerProcess) -> None:
    answer = post(text_server, "/v2/models/plus/generate_stream", x=[[1, 2], [3, 4]])
    assert events(answer) == [
        {"model_name": "plus", "model_version": "1", "y": [2.0, 3.0, 4.0, 5.0]}
    ]


def test_stream_of_a_model_that_refuses_has_a_status(text_server: ServerProcess) -> None:
    answer = post(text_server, "/v2/models/plus/generate_stream", z=1)
    assert answer.status == 400
    assert "expected 1 inputs but got 0 inputs for model 'plus'" in answer.error


def test_sequence_goes_on_with_its_text(text_server: ServerProcess) -> None:
    whole = generate(text_server, text_input="the", max_tokens=24, seed=5)["text_output"]
    first = generate(
        text_server, text_input="the", max_tokens=16, seed=5, sequence_id=77, sequence_start=True
    )
    second = generate(
        text_server, text_input="", max_tokens=8, sequence_id=77, parameters={"sequence_end": True}
    )
    assert first["text_output"] + second["text_output"] == whole


def test_sequence_that_never_began_is_refused_in_tritons_words(text_server: ServerProcess) -> None:
    answer = post(text_server, f"{TINY}/generate", text_input="", sequence_id=78)
    assert answer.status == 400
    assert "must specify the START flag on the first request of the sequence" in answer.error


def test_method_and_path_are_checked(text_server: ServerProcess) -> None:
    answer = text_server.request("GET", f"{TINY}/generate")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
