"""OpenAPI 3.1 text of ``POST /v1/images/generations``, for the server's own document."""

from typing import Any

from serving.picture_files import MAX_QUALITY
from serving.rest.image_generations import FILE_KINDS


def _field(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], "description": description, **more}


_FIELDS: dict[str, Any] = {
    "model": {"type": "string", "description": "Name of the model, or NAME:VERSION."},
    "prompt": {
        "type": "string",
        "description": "Words, the name of a class, or nothing: what the model is told.",
    },
    "n": _field("integer", "Pictures.", default=1, minimum=1),
    "size": _field("string", "WIDTHxHEIGHT of the model's pictures, or 'auto'.", default="auto"),
    "response_format": _field(
        "string",
        "url: an address of this server that gives the very picture.",
        enum=["b64_json", "url", None],
        default="b64_json",
    ),
    "output_format": _field("string", "Of the files.", enum=[*FILE_KINDS, None], default="png"),
    "output_compression": _field(
        "integer", "Quality of JPEG and WebP.", minimum=1, maximum=MAX_QUALITY
    ),
    "quality": _field("string", "There is one.", enum=["auto", "standard", None]),
    "background": _field("string", "Always opaque.", enum=["auto", "opaque", None]),
    "moderation": _field("string", "There is none.", enum=["auto", "low", None]),
    "stream": _field("boolean", "Not supported.", enum=[False, None]),
    "partial_images": _field("integer", "Not supported.", enum=[0, None]),
    "user": _field("string", "Means nothing here."),
    "seed": _field("integer", "The same seed gives the same pictures.", minimum=0),
    "truncation": _field("number", "No number of the noise is further from 0."),
}
_PICTURE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "b64_json": {"type": "string", "contentEncoding": "base64"},
        "url": {"type": "string", "format": "uri"},
    },
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["created", "data"],
    "properties": {
        "created": {"type": "integer", "description": "Unix time, seconds."},
        "data": {"type": "array", "items": _PICTURE},
        "background": {"type": "string", "const": "opaque"},
        "output_format": {"type": "string", "enum": list(FILE_KINDS)},
        "seed": {"type": "integer", "description": "Of the pictures, drawn or not."},
        "model": {"type": "string"},
        "model_version": {"type": "string"},
        "system_fingerprint": {"type": "string"},
    },
}
_ERROR: dict[str, Any] = {"$ref": "#/components/schemas/ApiErrorBody"}
_ERRORS = {
    "400": "The request contradicts the API or the model; 'param' names the field.",
    "404": "No such model or version.",
    "413": "The body is over the limit.",
    "415": "A Content-Encoding other than gzip or deflate.",
    "429": "Too much waits already.",
    "500": "The engine failed.",
    "503": "The model is not ready, or the server is shutting down.",
}
_EXAMPLE = {"model": "dcgan-mnist-prompt", "prompt": "a thin slanted three", "n": 4, "seed": 7}


def generations_operation() -> dict[str, Any]:
    """The operation object."""
    request = {
        "type": "object",
        "required": ["model", "prompt"],
        "properties": _FIELDS,
        "additionalProperties": False,
    }
    return {
        "operationId": "generate_images",
        "tags": ["images"],
        "summary": "Make pictures, in the form of OpenAI's images API",
        "description": "As the openai package calls it, with this server's own fields.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": request, "example": _EXAMPLE}},
        },
        "responses": {
            "200": {
                "description": "The pictures.",
                "content": {"application/json": {"schema": _ANSWER}},
            },
            **{
                status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
                for status, text in _ERRORS.items()
            },
        },
    }
