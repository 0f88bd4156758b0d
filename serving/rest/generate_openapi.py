"""OpenAPI 3.1 text of ``generate`` and ``generate_stream``, for the server's own document."""

from typing import Any

_REQUEST: dict[str, Any] = {
    "type": "object",
    "description": (
        "A key that is the name of an input holds its values; a model of text has the input "
        "text_input. Any other key is a request parameter, for text: max_tokens, temperature, "
        "top_k, top_p, repetition_penalty, presence_penalty, frequency_penalty, seed, stop, echo, "
        "unknown, receipt, session; sequence_id, sequence_start and sequence_end continue a state "
        "that is kept here."
    ),
    "properties": {
        "id": {"type": "string", "description": "Echoed in the answer."},
        "parameters": {
            "type": "object",
            "description": "Request parameters; they may stand at the top as well.",
            "additionalProperties": {"type": ["string", "number", "boolean", "array", "object"]},
        },
    },
    "additionalProperties": True,
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "description": "The outputs by name, flat; an array of one element is that element.",
    "required": ["model_name", "model_version"],
    "properties": {
        "id": {"type": "string"},
        "model_name": {"type": "string"},
        "model_version": {"type": "string", "description": "The version that really ran."},
    },
    "additionalProperties": True,
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "request_id": {"type": "string"}},
}
_ERRORS = {
    "400": "The request does not fit the model; the text says how.",
    "404": "No such model or version.",
    "409": "The session is in use, or the receipt is another model's.",
    "413": "The body is over the limit.",
    "415": "A Content-Encoding other than gzip or deflate.",
    "429": "The model's queue is full.",
    "500": "The engine failed.",
    "503": "The model is not ready, or the server is shutting down.",
    "504": "The request's time ran out.",
}
_EXAMPLE = {"text_input": "ROMEO:", "max_tokens": 200, "temperature": 0.8, "seed": 7}


def generate_operation(*, versioned: bool, stream: bool) -> dict[str, Any]:
    """The operation object; ``versioned`` adds the version to the path's parameters."""
    names = ["model_name", "model_version"] if versioned else ["model_name"]
    verb = "generate_stream" if stream else "generate"
    if stream:
        said = "One event for each answer of the model: a line 'data: ' and an object as below. "
        content = {"text/event-stream": {"schema": {"type": "string"}}}
        said += "An error in mid-stream is an event with the key 'error', the last one."
    else:
        said = "The outputs; a model that answers in pieces has them joined."
        content = {"application/json": {"schema": _ANSWER}}
    return {
        "tags": ["Open Inference Protocol"],
        "summary": "Flat JSON through a model, " + ("answers streamed" if stream else "one answer"),
        "operationId": f"{verb}_version" if versioned else verb,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _REQUEST, "example": _EXAMPLE}},
        },
        "responses": {
            "200": {"description": said, "content": content},
            **{
                status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
                for status, text in _ERRORS.items()
            },
        },
    }
