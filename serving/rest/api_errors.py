"""Errors as clients of the completions API read them: ``{"error": {message, type, param, code}}``.

The statuses are those of ``serving.errors`` but for one: a model that does not write text is the
client's mistake here (400), since clients of this API try again after any 5xx.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from serving.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    NotSupported,
    QueueFull,
    ServingError,
    SessionNotFound,
    ShuttingDown,
)
from serving.rest.http import Reply, error_reply

REQUEST_ERROR = "invalid_request_error"
SERVER_ERROR = "server_error"
RATE_ERROR = "requests"

_CODES: Mapping[type[ServingError], str] = {
    ModelNotFound: "model_not_found",
    ModelNotReady: "model_not_ready",
    SessionNotFound: "session_not_found",
    Conflict: "conflict",
    NotSupported: "not_supported",
    QueueFull: "rate_limit_exceeded",
    DeadlineExceeded: "timeout",
    ShuttingDown: "shutting_down",
}
_FIELD = re.compile(r"([a-z_]{1,40})(?:\[[0-9]+\]|\.[a-z_0-9]+)*: ")
_NO_RETRY = (b"x-should-retry", b"false")
"""Keeps the openai package from asking again, as it does after a 409: sessions come free, but
a receipt stays that of another model."""


def api_error(error: ServingError) -> dict[str, Any]:
    """The object behind the key ``error``."""
    return {
        "message": error.message,
        "type": _type(error),
        "param": _field(error),
        "code": _CODES.get(type(error)),
    }


def api_error_json(error: ServingError) -> bytes:
    """The body of an error, or the data of its event."""
    return orjson.dumps({"error": api_error(error)})


def api_error_reply(error: ServingError, request_id: str) -> Reply:
    """The whole answer."""
    reply = error_reply(error, request_id)
    reply.body = api_error_json(error)
    if isinstance(error, NotSupported):
        reply.status = InvalidInput.http_status
    if isinstance(error, Conflict) and _field(error) == "receipt":
        reply.headers += (_NO_RETRY,)
    return reply


def _type(error: ServingError) -> str:
    if isinstance(error, QueueFull):
        return RATE_ERROR
    if error.http_status >= 500 and not isinstance(error, NotSupported):
        return SERVER_ERROR
    return REQUEST_ERROR


def _field(error: ServingError) -> str | None:
    """The member of the request that the message begins with, as ``serving.rest.fields`` writes."""
    if isinstance(error, ModelNotFound | NotSupported | ModelNotReady):
        return "model"
    if isinstance(error, SessionNotFound):
        return "session"
    if not isinstance(error, InvalidInput | Conflict):
        return None
    found = _FIELD.match(error.message)
    return found[1] if found else None
