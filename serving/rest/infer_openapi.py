"""OpenAPI 3.1 text of ``POST /v2/models/{m}/infer``, for the server's own document."""

from typing import Any

from serving.types import DATATYPES

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
_TENSOR: dict[str, Any] = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string", "enum": list(DATATYPES)},
        "parameters": _PARAMETERS,
        "data": {"type": "array", "description": "Flat and row-major, or nested as the shape."},
    },
}
_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string", "description": "Echoed in the answer."},
        "parameters": _PARAMETERS,
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {
            "type": "array",
            "description": "Outputs wanted; all if absent.",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
            },
        },
    },
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "id": {"type": "string"},
        "model_name": {"type": "string"},
        "model_version": {"type": "string", "description": "The version that really ran."},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "request_id": {"type": "string"}},
}
_ERRORS = {
    "400": "The request contradicts the protocol or the model; the text says how.",
    "404": "No such model or version.",
    "413": "The body is over the limit.",
    "415": "A Content-Encoding other than gzip or deflate.",
    "429": "The model's queue is full.",
    "500": "The engine failed.",
    "503": "The model is not ready, or the server is shutting down.",
    "504": "The request's time ran out in the queue.",
}
_LENGTH: dict[str, Any] = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "Bytes of the JSON part, if blobs follow it; 0: the body is the only input.",
}


def infer_operation(*, versioned: bool) -> dict[str, Any]:
    """The operation object; ``versioned`` adds the version to the path's parameters."""
    names = ["model_name", "model_version"] if versioned else ["model_name"]
    return {
        "tags": ["Open Inference Protocol"],
        "summary": "Run tensors through a model",
        "operationId": "infer_version" if versioned else "infer",
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in names
            ),
            _LENGTH,
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _REQUEST},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": {
                "description": "The outputs.",
                "content": {
                    "application/json": {"schema": _ANSWER},
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **{
                status: {
                    "description": text,
                    "content": {"application/json": {"schema": _ERROR}},
                }
                for status, text in _ERRORS.items()
            },
        },
    }
