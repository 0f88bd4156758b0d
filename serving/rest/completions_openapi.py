"""OpenAPI 3.1 text of the completions routes, for the server's own document."""

from typing import Any

from serving.rest.completion_request import API_MAX_TOKENS, MAX_PROMPTS


def _field(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], "description": description, **more}


_IDS: dict[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_STRINGS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_PROMPT: dict[str, Any] = {
    "description": (
        "One prompt or several, as text or as ids of symbols. Prompt i is written with the seed "
        "of the first plus i."
    ),
    "oneOf": [
        {"type": "null"},
        {"type": "string"},
        {**_STRINGS, "minItems": 1, "maxItems": MAX_PROMPTS},
        _IDS,
        {"type": "array", "items": _IDS, "minItems": 1, "maxItems": MAX_PROMPTS},
    ],
}
_RECEIPT: dict[str, Any] = {
    "type": "object",
    "description": "Sent again with the same request, it gives the same bytes.",
    "required": ["seed", "model", "version", "sha256", "provider", "precision"],
    "properties": {
        "seed": {"type": "integer", "minimum": 0},
        **{
            name: {"type": "string"}
            for name in ("model", "version", "sha256", "provider", "precision")
        },
    },
}
_API_FIELDS: dict[str, Any] = {
    "model": {"type": "string", "description": "Name of the model, or NAME:VERSION."},
    "prompt": _PROMPT,
    "max_tokens": _field("integer", "Symbols written at most.", default=API_MAX_TOKENS),
    "temperature": _field("number", "0 takes the likeliest symbol.", default=1, minimum=0),
    "top_p": _field("number", "Draw from the likeliest that reach this sum.", default=1),
    "n": _field("integer", "Texts for each prompt.", default=1, minimum=1),
    "stream": _field("boolean", "Send the text while it is written.", default=False),
    "stream_options": _field(
        "object",
        "For streams.",
        properties={"include_usage": {"type": "boolean"}},
    ),
    "logprobs": _field("integer", "Log-probabilities, with this many alternatives.", minimum=0),
    "echo": _field("boolean", "Give the prompt back in front.", default=False),
    "stop": {"description": "Where to end.", "oneOf": [{"type": ["string", "null"]}, _STRINGS]},
    "presence_penalty": _field("number", "Against symbols written before.", default=0),
    "frequency_penalty": _field("number", "The same, each time they were.", default=0),
    "best_of": _field("integer", "Texts written, of which the n likeliest are given."),
    "seed": _field("integer", "The same seed gives the same text.", minimum=0),
    "user": _field("string", "Texts of different users take turns."),
}
_OWN_FIELDS: dict[str, Any] = {
    "top_k": _field("integer", "Draw from the k likeliest symbols; 0: all.", minimum=0),
    "repetition_penalty": _field("number", "Over 1: symbols seen before are less likely."),
    "beam_width": _field("integer", "Beam search of this width in place of drawing.", minimum=1),
    "length_penalty": _field("number", "Of the beam search's score.", default=1),
    "unknown": _field(
        "string",
        "Characters that the model does not know: replaced and named, or refused.",
        enum=["map", "refuse", None],
        default="map",
    ),
    "receipt": {"oneOf": [{"type": "null"}, _RECEIPT]},
    "session": _field("string", "Continue this stored state."),
}
_LOGPROBS: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "tokens": _STRINGS,
        "token_logprobs": {"type": "array", "items": {"type": ["number", "null"]}},
        "top_logprobs": {
            "type": ["array", "null"],
            "items": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
        },
        "text_offset": {
            "type": "array",
            "items": {"type": "integer"},
            "description": "In characters from the beginning of the prompt.",
        },
    },
}
_CHOICE: dict[str, Any] = {
    "type": "object",
    "required": ["index", "text", "logprobs", "finish_reason"],
    "properties": {
        "index": {"type": "integer", "description": "Number of the prompt times n, plus text."},
        "text": {"type": "string"},
        "logprobs": _LOGPROBS,
        "finish_reason": {"type": ["string", "null"], "enum": ["stop", "length", None]},
    },
}
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_USAGE: dict[str, Any] = {
    "type": ["object", "null"],
    "required": list(_COUNTS),
    "properties": {name: {"type": "integer"} for name in _COUNTS},
}
_REPLACED: dict[str, Any] = {
    "type": "array",
    "description": "Characters of the prompt that the model does not know, if there are any.",
    "items": {
        "type": "object",
        "properties": {
            "character": {"type": "string"},
            "replacement": {"type": "string", "description": "Empty: it was dropped."},
            "count": {"type": "integer"},
        },
    },
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices"],
    "properties": {
        "id": {"type": "string"},
        "object": {"type": "string", "const": "text_completion"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "system_fingerprint": {"type": "string"},
        "choices": {"type": "array", "items": _CHOICE},
        "usage": _USAGE,
        "receipt": _RECEIPT,
        "replaced_characters": _REPLACED,
    },
}
_ERROR: dict[str, Any] = {"$ref": "#/components/schemas/ApiErrorBody"}
_ERRORS = {
    "400": "The request contradicts the API or the model; 'param' names the field.",
    "404": "No such model, version or session.",
    "409": "The session is in use, or the receipt is another model's.",
    "413": "The body is over the limit.",
    "415": "A Content-Encoding other than gzip or deflate.",
    "429": "Too many texts wait already.",
    "500": "The engine failed.",
    "503": "The model is not ready, or the server is shutting down.",
    "504": "The request's time ran out.",
}


def completion_operation(*, session: bool) -> dict[str, Any]:
    """The operation object; ``session``: of the path that names a session."""
    fields = {**_API_FIELDS, **_OWN_FIELDS}
    parameters = []
    if session:
        name = {"name": "session_id", "in": "path", "required": True, "schema": {"type": "string"}}
        parameters.append(name)
    request = {
        "type": "object",
        "required": [] if session else ["model"],
        "properties": fields,
        "additionalProperties": False,
    }
    return {
        "tags": ["sessions" if session else "completions"],
        "summary": "Go on with a session's text" if session else "Write text",
        "description": (
            "The completions API as the openai package calls it, with this server's own fields. "
            "Streams are server-sent events that end with 'data: [DONE]'; their first event has "
            "the receipt, and an error in mid-stream is an event with the key 'error', the last."
        ),
        "operationId": "complete_session" if session else "complete",
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": request, "example": _EXAMPLE}},
        },
        "responses": {
            "200": {
                "description": "The texts.",
                "content": {
                    "application/json": {"schema": _ANSWER},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            },
            **{
                status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
                for status, text in _ERRORS.items()
            },
        },
    }


_EXAMPLE = {"model": "shakespeare", "prompt": "ROMEO:", "max_tokens": 200, "stream": True}
