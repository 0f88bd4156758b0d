"""The server's OpenAPI document: FastAPI's own, and the hot routes, which it does not see."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.rest.captions_openapi import captions_operation
from serving.rest.classify_openapi import openapi_operation
from serving.rest.completions_openapi import completion_operation
from serving.rest.generate_openapi import generate_operation
from serving.rest.image_generations_openapi import generations_operation
from serving.rest.images_openapi import critique_operation, pictures_operation
from serving.rest.infer_openapi import infer_operation


def document_hot_routes(app: FastAPI) -> None:
    """Make ``app`` describe the hot routes too."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes
            )
            _drop_validation_errors(document)
            document["paths"].update(_hot_paths())
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _hot_paths() -> dict[str, Any]:
    """Path -> its path item object."""
    operations: dict[str, dict[str, Any]] = {
        "/v1/completions": completion_operation(session=False),
        "/v1/sessions/{session_id}/completions": completion_operation(session=True),
        "/v1/images/generations": generations_operation(),
    }
    paths: dict[str, Any] = {}
    for versioned, suffix in ((False, ""), (True, "/versions/{model_version}")):
        model = f"/v2/models/{{model_name}}{suffix}"
        operations |= {
            f"/v1/classify/{{model_name}}{suffix}": openapi_operation(versioned=versioned),
            f"/v1/captions/{{model_name}}{suffix}": captions_operation(versioned=versioned),
            f"/v1/images/{{model_name}}{suffix}/critique": critique_operation(versioned=versioned),
            f"{model}/infer": infer_operation(versioned=versioned),
            f"{model}/generate": generate_operation(versioned=versioned, stream=False),
            f"{model}/generate_stream": generate_operation(versioned=versioned, stream=True),
        }
        paths[f"/v1/images/{{model_name}}{suffix}"] = {
            "get": pictures_operation(versioned=versioned, posted=False),
            "post": pictures_operation(versioned=versioned, posted=True),
        }
    return {path: {"post": operation} for path, operation in operations.items()} | paths


def _drop_validation_errors(document: dict[str, Any]) -> None:
    """Take out FastAPI's own 422: version numbers are checked by the route's path already."""
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    for schema in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(schema, None)
