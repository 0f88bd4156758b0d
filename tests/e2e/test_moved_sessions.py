"""A text that is begun on one server, carried over its end, and gone on with on the next."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import ServerProcess
from tests.text_models import make_text_model

pytestmark = pytest.mark.e2e

KEY = "not-a-secret-outside-this-test"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    make_text_model(folder / "tiny", cell="gru", precision="int8")
    return folder


@contextmanager
def server(repository: Path, *flags: str, key: str = KEY) -> Iterator[ServerProcess]:
    """A server whose key comes by its environment, as one would deploy it."""
    environment = {"QUARTET_GENERATION__SESSION_KEY": key}
    process = ServerProcess(repository, *flags, environment=environment)
    try:
        yield process.wait_ready()
        assert key not in json.dumps(process.lines)
    finally:
        process.close()


def ask(process: ServerProcess, path: str, **document: Any) -> dict[str, Any]:
    answer = process.request("POST", path, json.dumps(document))
    assert answer.status in (200, 201), answer.body
    body: dict[str, Any] = answer.json()
    return body


def go_on(process: ServerProcess, session: str, length: int) -> str:
    path = f"/v1/sessions/{session}/completions"
    text: str = ask(process, path, max_tokens=length)["choices"][0]["text"]
    return text


def test_a_session_survives_its_server(repository: Path) -> None:
    with server(repository) as first:
        session = ask(first, "/v1/sessions", model="tiny", prompt="the quick", seed=11)["id"]
        begun = go_on(first, session, 25)
        blob = first.request("GET", f"/v1/sessions/{session}/export").body
    # Other steps, chunks and slots: none of them may change a byte.
    settings = ("--generation.steps=5", "--generation.prefill-chunk=3", "--generation.slots=2")
    with server(repository, *settings) as second:
        answer = second.request("POST", "/v1/sessions/import", blob)
        assert answer.status == 201
        rest = go_on(second, answer.json()["id"], 40)
        whole = ask(
            second, "/v1/completions", model="tiny", prompt="the quick", seed=11, max_tokens=65
        )
        assert begun + rest == whole["choices"][0]["text"]
    with server(repository, key="the key of somebody else") as third:
        answer = third.request("POST", "/v1/sessions/import", blob)
        assert answer.status == 400
        assert "signed with another key" in answer.error
