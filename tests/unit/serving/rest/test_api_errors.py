"""Errors in the form of the completions API."""

import json

import pytest

from serving.errors import (
    Conflict,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    MethodNotAllowed,
    ModelNotFound,
    ModelNotReady,
    NotSupported,
    QueueFull,
    ServingError,
    SessionNotFound,
    ShuttingDown,
)
from serving.rest.api_errors import api_error_reply


@pytest.mark.parametrize(
    ("error", "status", "kind", "param", "code"),
    [
        (InvalidInput("n: too many"), 400, "invalid_request_error", "n", None),
        (InvalidInput("prompt[3]: bad"), 400, "invalid_request_error", "prompt", None),
        (InvalidInput("receipt.seed: bad"), 400, "invalid_request_error", "receipt", None),
        (InvalidInput("bad: JSON at 3"), 400, "invalid_request_error", "bad", None),
        (InvalidInput("no such thing"), 400, "invalid_request_error", None, None),
        (ModelNotFound("m"), 404, "invalid_request_error", "model", "model_not_found"),
        (SessionNotFound("s"), 404, "invalid_request_error", "session", "session_not_found"),
        (Conflict("receipt: other"), 409, "invalid_request_error", "receipt", "conflict"),
        (NotSupported("m"), 400, "invalid_request_error", "model", "not_supported"),
        (MethodNotAllowed("POST"), 405, "invalid_request_error", None, None),
        (QueueFull("full"), 429, "requests", None, "rate_limit_exceeded"),
        (InferenceFailed("broke"), 500, "server_error", None, None),
        (ModelNotReady("m"), 503, "server_error", "model", "model_not_ready"),
        (ShuttingDown("bye"), 503, "server_error", None, "shutting_down"),
        (DeadlineExceeded("late"), 504, "server_error", None, "timeout"),
    ],
)
def test_error_has_status_type_param_and_code(
    error: ServingError, status: int, kind: str, param: str | None, code: str | None
) -> None:
    reply = api_error_reply(error, "rid")
    assert reply.status == status
    assert json.loads(reply.body) == {
        "error": {"message": error.message, "type": kind, "param": param, "code": code}
    }


def test_error_tells_when_to_try_again() -> None:
    reply = api_error_reply(QueueFull("full", retry_after_s=2.6), "rid")
    assert (b"retry-after", b"3") in reply.headers


def test_error_tells_the_method_that_is_allowed() -> None:
    assert (b"allow", b"POST") in api_error_reply(MethodNotAllowed("POST"), "rid").headers


@pytest.mark.parametrize(("message", "worth"), [("receipt: other", False), ("in use", True)])
def test_conflict_is_worth_another_try_unless_it_is_the_receipts(message: str, worth: bool) -> None:
    headers = api_error_reply(Conflict(message), "rid").headers
    assert ((b"x-should-retry", b"false") not in headers) is worth
