"""OpenAPI 3.1 text of ``POST /v1/classify/{model}``, for the server's own document."""

from typing import Any

from serving.types import DEFAULT_TOP_K

_PREDICTION: dict[str, Any] = {
    "type": "object",
    "required": ["label", "index", "probability"],
    "properties": {
        "label": {"type": "string", "description": "Name of the class."},
        "index": {"type": "integer", "minimum": 0, "description": "Number of the class."},
        "probability": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
_RESULT: dict[str, Any] = {
    "type": "object",
    "title": "One picture",
    "required": ["model_name", "model_version", "predictions"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string", "description": "The version that really ran."},
        "predictions": {
            "type": "array",
            "items": _PREDICTION,
            "description": "At most top_k classes, the most probable first.",
        },
    },
}
_RESULTS: dict[str, Any] = {
    "type": "object",
    "title": "Several pictures",
    "required": ["results"],
    "properties": {"results": {"type": "array", "items": _RESULT}},
}
_EXAMPLE: dict[str, Any] = {
    "model_name": "mnist",
    "model_version": "1",
    "predictions": [
        {"label": "7", "index": 7, "probability": 0.998},
        {"label": "9", "index": 9, "probability": 0.001},
    ],
}
_TOP_K: dict[str, Any] = {
    "type": "integer",
    "minimum": 1,
    "default": DEFAULT_TOP_K,
    "description": "Classes wanted for each picture; more than the model has means all.",
}
_BASE64: dict[str, Any] = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "The encoded picture in base64, or a data: URL of it.",
}


def openapi_operation(*, versioned: bool = False) -> dict[str, Any]:
    """The operation object (OpenAPI 3.1, section 4.8.10), built anew at each call.

    ``versioned`` adds the version to the path's parameters.
    """
    names = ["model_name", "model_version"] if versioned else ["model_name"]
    return {
        "operationId": "classify_version" if versioned else "classify",
        "tags": ["classify"],
        "summary": "Classify pictures",
        "description": (
            "Takes PNG, JPEG, WebP, GIF (first frame) and BMP of any size, upright by EXIF. For a "
            "digit model a photo or drawing is brought to the form of MNIST first."
        ),
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in names
            ),
            {"name": "top_k", "in": "query", "required": False, "schema": _TOP_K},
        ],
        "requestBody": {"required": True, "content": _request_content()},
        "responses": _responses(),
    }


def _request_content() -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {
                "type": "array",
                "items": {"type": "string", "format": "binary"},
                "minItems": 1,
                "description": "A picture; the field may be repeated.",
            },
            "top_k": _TOP_K,
        },
    }
    single = {"required": ["image"], "properties": {"image": _BASE64, "top_k": _TOP_K}}
    images = {"type": "array", "items": _BASE64, "minItems": 1}
    several = {"required": ["images"], "properties": {"images": images, "top_k": _TOP_K}}
    objects = [{"type": "object", "additionalProperties": False, **s} for s in (single, several)]
    return {
        "multipart/form-data": {"schema": form},
        "image/*": binary,
        "application/octet-stream": binary,
        "application/json": {
            "schema": {"oneOf": objects},
            "examples": {
                "one": {"value": {"image": "iVBORw0KGgo...", "top_k": 3}},
                "several": {"value": {"images": ["iVBORw0KGgo...", "/9j/4AAQ..."]}},
            },
        },
    }


def _responses() -> dict[str, Any]:
    faults = {
        "400": "A picture or the request cannot be read.",
        "404": "No such model or version.",
        "413": "The body or a picture is over its limit.",
        "415": "A media type or encoding that is not served.",
        "429": "The model's queue is full.",
        "501": "The model does not classify pictures.",
        "503": "The model is not ready, or the server shuts down.",
        "504": "The request's time ran out.",
    }
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    return {
        "200": {
            "description": "The best classes of each picture, in the order sent.",
            "content": {
                "application/json": {
                    "schema": {"oneOf": [_RESULT, _RESULTS]},
                    "examples": {
                        "one": {"value": _EXAMPLE},
                        "several": {"value": {"results": [_EXAMPLE, _EXAMPLE]}},
                    },
                }
            },
        },
        **{
            status: {"description": text, "content": {"application/json": {"schema": error}}}
            for status, text in faults.items()
        },
    }
