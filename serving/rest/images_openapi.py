"""OpenAPI 3.1 text of ``/v1/images/...``, for the server's own document."""

from collections.abc import Mapping
from typing import Any

from serving.picture_files import DEFAULT_QUALITY, MAX_FPS, MAX_QUALITY
from serving.rest.images_form import DEFAULT_FPS, FORMATS, MIN_FPS
from serving.rest.images_request import DEFAULT_FRAMES
from serving.rest.images_response import TOLD_HEADERS
from serving.types import MAX_IMAGES


def _field(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **more}


_SOURCES: dict[str, dict[str, Any]] = {
    "seed": _field("integer", "Of the noise; without it the server draws one.", minimum=0),
    "n": _field("integer", "Pictures of the seed.", minimum=1, default=1),
    "index": _field("integer", "Of the first picture of 'seed', of each of 'seeds'.", default=0),
    "seeds": _field("string", "A picture of each: '1,5,9', ranges '0-63'; in JSON an array, too."),
    "z": _field("string", "The noise: a JSON array of numbers, or of several such arrays."),
    "interpolate": _field(
        "string",
        "A way through seeds, '7,12,31'; '7:3' is index 3 of seed 7. In JSON an array, too.",
    ),
    "frames": _field("integer", "Of the way, its points included.", default=DEFAULT_FRAMES),
    "closed": _field("boolean", "Lead the way back to its first point.", default=False),
    "arithmetic": _field(
        "string",
        "A sum of seeds: '7 - 12 + 31', '0.5*7 + 0.5*12:3', '(1,2,3) - (4,5,6) + 9', where "
        "brackets mean the mean. A plus sign should be written %2B in a URL; one that is not "
        "arrives as a space, and terms with nothing but spaces between are added.",
    ),
}
"""At most one of seed, seeds, z, interpolate and arithmetic."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "truncation": _field("number", "No number of the noise is further from 0.", exclusiveMinimum=0),
    "class": _field("string", "Name of a class or its number, of a model that is told one."),
    "prompt": _field("string", "What to show, of a model that is told it."),
    "direction": _field(
        "string", "What shall become more: 'older', 'older:1.5,female:-1'; in JSON an object, too."
    ),
    "strength": _field("number", "Of directions without one of their own.", default=1),
}
_FORM: dict[str, dict[str, Any]] = {
    "grid": _field("integer", "Columns of a sheet of all pictures.", minimum=1),
    "format": _field("string", "Goes before the header Accept.", enum=list(FORMATS)),
    "quality": _field(
        "integer",
        f"Of JPEG, {DEFAULT_QUALITY} without it, and WebP, without loss without it.",
        minimum=1,
        maximum=MAX_QUALITY,
    ),
    "fps": _field(
        "number",
        "Of an animation, pictures a second.",
        minimum=MIN_FPS,
        maximum=MAX_FPS,
        default=DEFAULT_FPS,
    ),
}
_FIELDS = {**_SOURCES, **_OPTIONS, **_FORM}
_ROW: dict[str, Any] = {"type": "array", "items": {"type": "number"}, "minItems": 1}
_IN_JSON: Mapping[str, dict[str, Any]] = {
    "seeds": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    "z": {"oneOf": [_ROW, {"type": "array", "items": _ROW, "minItems": 1}]},
    "interpolate": {"type": "array", "items": {"type": ["integer", "string"]}, "minItems": 2},
    "class": {"type": "integer", "minimum": 0},
    "direction": {"type": "object", "additionalProperties": {"type": "number"}},
}
"""What may stand there instead of text."""
_FILE: dict[str, Any] = {"type": "string", "format": "binary"}
_BASE64: dict[str, Any] = {"type": "string", "contentEncoding": "base64"}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["model_name", "model_version", "fingerprint", "images"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string", "description": "The version that really ran."},
        "fingerprint": {
            "type": "string",
            "description": "The same request to a model of the same one gives the same pixels.",
        },
        "height": {"type": "integer"},
        "width": {"type": "integer"},
        "channels": {"type": "integer", "enum": [1, 3]},
        "seed": {"type": "integer", "description": "Where 'seed' is meant, drawn or not."},
        "prompt": {"type": "string", "description": "That was used, of a model with prompts."},
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "seed": {"type": "integer"},
                    "index": {"type": "integer"},
                    "class": {"type": "string"},
                    "image": {**_BASE64, "description": "A PNG file in base64."},
                },
            },
        },
    },
}
_CRITIQUE: dict[str, Any] = {
    "type": "object",
    "title": "One picture",
    "required": ["model_name", "model_version", "probability"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string", "description": "The version that really ran."},
        "probability": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "That the picture is real rather than generated.",
        },
    },
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "request_id": {"type": "string"}},
}
_FAULTS = {
    "400": "The request cannot be read, or the model does not take it; the text names the field.",
    "404": "No such model or version.",
    "413": "The body or a picture is over its limit.",
    "415": "A media type or encoding that is not served.",
    "429": "Too much waits already.",
    "500": "The engine failed.",
    "501": "The model does not make pictures, or has no discriminator.",
    "503": "The model is not ready, or the server shuts down.",
}


def pictures_operation(*, versioned: bool, posted: bool) -> dict[str, Any]:
    """The operation object of GET or POST; ``versioned`` adds the version to the path."""
    operation: dict[str, Any] = {
        "operationId": f"{'post' if posted else 'get'}_images{'_of_version' if versioned else ''}",
        "tags": ["images"],
        "summary": "Make pictures",
        "description": (
            "Several pictures as PNG, JPEG or WebP are a sheet, those of an interpolation a strip; "
            "as GIF or APNG, and those of an interpolation as WebP, they are an animation; 'grid' "
            "always makes a sheet. A picture of a given seed is the same for ever: its answer to "
            "GET has an ETag, is immutable where the path names the version, and HEAD works, too."
        ),
        "parameters": [*_path(versioned=versioned), *_query(_FIELDS)],
        "responses": _responses(_pictures(), "The pictures.") | _PICTURE_FAULTS,
    }
    operation["responses"]["200"]["headers"] = _told()
    if posted:
        operation["requestBody"] = {"required": False, "content": _request_content()}
    else:
        operation["responses"]["304"] = {"description": "The client has the right ones."}
    return operation


def critique_operation(*, versioned: bool) -> dict[str, Any]:
    """The operation object of a critique."""
    many = {
        "type": "object",
        "title": "Several pictures",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": _CRITIQUE}},
    }
    said = {name: _OPTIONS[name] for name in ("class", "prompt")}
    return {
        "operationId": "critique_of_version" if versioned else "critique",
        "tags": ["images"],
        "summary": "Tell real pictures from generated ones",
        "description": (
            "The discriminator that the generator learned from judges PNG, JPEG, WebP, GIF and BMP "
            "of any size. A model that is told a class needs one here, too."
        ),
        "parameters": [*_path(versioned=versioned), *_query(said)],
        "requestBody": {"required": True, "content": _critique_content(said)},
        "responses": _responses(
            {"application/json": {"schema": {"oneOf": [_CRITIQUE, many]}}}, "What it thinks."
        ),
    }


def _path(*, versioned: bool) -> list[dict[str, Any]]:
    names = ["model_name", "model_version"] if versioned else ["model_name"]
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]


def _query(fields: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in fields.items()
    ]


def _request_content() -> dict[str, Any]:
    properties = {
        name: {"oneOf": [schema, _IN_JSON[name]]} if name in _IN_JSON else schema
        for name, schema in _FIELDS.items()
    }
    body = {"type": "object", "properties": properties, "additionalProperties": False}
    examples = {
        "sheet": {"value": {"seed": 7, "n": 16, "grid": 4}},
        "animation": {"value": {"interpolate": [7, 12, 31], "frames": 48, "format": "webp"}},
        "sum": {"value": {"arithmetic": "7 - 12 + 31", "direction": {"older": 1.5}}},
    }
    return {
        "application/json": {"schema": body, "examples": examples},
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "properties": _FIELDS, "additionalProperties": False}
        },
    }


def _critique_content(said: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    files = {"type": "array", "items": _FILE, "minItems": 1, "maxItems": MAX_IMAGES}
    ways = {"image": _BASE64, "images": {"type": "array", "items": _BASE64, "minItems": 1}}
    return {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": files, **said},
            }
        },
        "image/*": {"schema": _FILE},
        "application/json": {
            "schema": {
                "oneOf": [
                    {
                        "type": "object",
                        "required": [name],
                        "properties": {name: schema, **said},
                        "additionalProperties": False,
                    }
                    for name, schema in ways.items()
                ]
            }
        },
    }


def _pictures() -> dict[str, Any]:
    content = {media_type: {"schema": _FILE} for media_type in FORMATS.values()}
    return content | {FORMATS["json"]: {"schema": _ANSWER}}


def _responses(content: Mapping[str, Any], description: str) -> dict[str, Any]:
    faults = {
        status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for status, text in _FAULTS.items()
    }
    return {"200": {"description": description, "content": content}, **faults}


def _told() -> dict[str, Any]:
    """Headers of pictures."""
    return {name: {"schema": {"type": "string"}} for name in TOLD_HEADERS}


_PICTURE_FAULTS: dict[str, Any] = {
    "406": {
        "description": "The header Accept names no type that this answer has.",
        "content": {"application/json": {"schema": _ERROR}},
    }
}
