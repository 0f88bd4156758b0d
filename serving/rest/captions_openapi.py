"""OpenAPI 3.1 text of ``POST /v1/captions/{model}``, for the server's own document."""

from typing import Any


def _option(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **more}


_OPTIONS: dict[str, dict[str, Any]] = {
    "captions": _option("integer", "Captions of each picture.", minimum=1),
    "beam_width": _option(
        "integer",
        "Width of the search; 1 always takes the likeliest word. Not with temperature.",
        minimum=1,
    ),
    "length_penalty": _option(
        "number",
        "A caption's score is the sum of its log-probabilities over length ** length_penalty. Not "
        "with temperature.",
    ),
    "min_tokens": _option("integer", "Words at least, those of beginning included.", minimum=0),
    "max_tokens": _option("integer", "Words at most, likewise.", minimum=1),
    "temperature": _option(
        "number", "Draw words in place of searching; 0 always takes the likeliest.", minimum=0
    ),
    "top_k": _option("integer", "Draw from the k likeliest words; 0: all.", minimum=0),
    "top_p": _option("number", "Draw from the likeliest words that reach this sum."),
    "seed": _option(
        "integer", "Of the draw; without it the server draws one and tells it.", minimum=0
    ),
    "beginning": _option("string", "Words that every caption begins with."),
    "attention": _option("boolean", "Give the attention of every word.", default=False),
    "stream": _option(
        "boolean", "Answer with server-sent events, word by word. Not for videos.", default=False
    ),
}
"""What is not given is the model's to choose."""
_BASE64: dict[str, Any] = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "The encoded file in base64, or a data: URL of it.",
}
_FILE: dict[str, Any] = {"type": "string", "format": "binary"}
_ATTENTION: dict[str, Any] = {
    "type": "object",
    "description": "Where the model looked: shares of a grid over what it saw of the picture.",
    "required": ["rows", "columns", "values"],
    "properties": {
        "rows": {"type": "integer"},
        "columns": {"type": "integer"},
        "values": {
            "type": "array",
            "items": {"type": "number"},
            "description": "Row by row from the upper left; they add up to 1.",
        },
    },
}
_TOKEN: dict[str, Any] = {
    "type": "object",
    "required": ["text", "log_probability"],
    "properties": {
        "text": {"type": "string"},
        "log_probability": {"type": "number", "maximum": 0, "description": "Nats."},
        "attention": _ATTENTION,
    },
}
_CAPTION: dict[str, Any] = {
    "type": "object",
    "required": ["text", "log_probability", "finish_reason", "tokens"],
    "properties": {
        "text": {"type": "string", "description": "The words, with spaces between."},
        "log_probability": {
            "type": "number",
            "description": "Sum over the words and the end that stopped them, nats.",
        },
        "finish_reason": {"type": "string", "enum": ["stop", "length"]},
        "tokens": {"type": "array", "items": _TOKEN, "description": "One a word."},
    },
}
_CAPTIONS: dict[str, Any] = {
    "type": "array",
    "items": _CAPTION,
    "description": "Best first; drawn ones in the order of their numbers.",
}
_MADE_BY: dict[str, Any] = {
    "model_name": {"type": "string"},
    "model_version": {"type": "string", "description": "The version that really ran."},
    "seed": {"type": "integer", "description": "Of the draw; absent if nothing was drawn."},
}
_PICTURE: dict[str, Any] = {
    "type": "object",
    "title": "One picture",
    "required": ["model_name", "model_version", "captions"],
    "properties": {**_MADE_BY, "captions": _CAPTIONS},
}
_PICTURES: dict[str, Any] = {
    "type": "object",
    "title": "Several pictures",
    "required": ["results"],
    "properties": {"results": {"type": "array", "items": _PICTURE}},
}
_TIMES: dict[str, Any] = {
    "start_s": {"type": "number"},
    "end_s": {"type": "number"},
    "frame_s": {"type": "number", "description": "Of the frame that was captioned."},
}
_VIDEO: dict[str, Any] = {
    "type": "object",
    "title": "A video",
    "required": ["model_name", "model_version", "duration_s", "frames", "scenes"],
    "properties": {
        **_MADE_BY,
        "duration_s": {"type": "number"},
        "frames": {"type": "integer", "description": "Looked at."},
        "scenes": {
            "type": "array",
            "description": "In order. Times are seconds from the first frame.",
            "items": {
                "type": "object",
                "required": [*_TIMES, "captions"],
                "properties": {**_TIMES, "captions": _CAPTIONS},
            },
        },
    },
}
_EXAMPLE_CAPTION: dict[str, Any] = {
    "text": "a dog runs",
    "log_probability": -2.5,
    "finish_reason": "stop",
    "tokens": [
        {"text": "a", "log_probability": -0.25},
        {"text": "dog", "log_probability": -0.5},
        {"text": "runs", "log_probability": -1.5},
    ],
}
_EXAMPLE: dict[str, Any] = {
    "model_name": "captioner",
    "model_version": "1",
    "captions": [_EXAMPLE_CAPTION],
}
_EXAMPLE_VIDEO: dict[str, Any] = {
    "model_name": "captioner",
    "model_version": "1",
    "duration_s": 4.5,
    "frames": 9,
    "scenes": [{"start_s": 0.0, "end_s": 4.5, "frame_s": 2.0, "captions": [_EXAMPLE_CAPTION]}],
}
_EXAMPLE_EVENTS = (
    'data: {"model_name":"captioner","model_version":"1","image":0,"caption":0,'
    '"token":{"text":"a","log_probability":-0.25}}\n\n'
    'data: {"image":0,"caption":0,"token":{"text":"dog","log_probability":-0.5}}\n\n'
    'data: {"image":0,"caption":0,"whole":{"text":"a dog","log_probability":-2.5,'
    '"finish_reason":"stop","tokens":[...]}}\n\n'
    "data: [DONE]\n\n"
)
_FAULTS = {
    "400": "A file or the request cannot be read, or the model does not take an option.",
    "404": "No such model or version.",
    "406": "The header Accept names no type that this answer has.",
    "413": "The body, a picture or the video is over its limit.",
    "415": "A media type or encoding that is not served.",
    "429": "Too many captions wait already.",
    "500": "The engine failed.",
    "501": "The model does not caption pictures, or the server does not read this kind of video.",
    "503": "The model is not ready, or the server shuts down.",
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "request_id": {"type": "string"}},
}


def captions_operation(*, versioned: bool) -> dict[str, Any]:
    """The operation object; ``versioned`` adds the version to the path's parameters."""
    names = ["model_name", "model_version"] if versioned else ["model_name"]
    return {
        "operationId": "caption_version" if versioned else "caption",
        "tags": ["captions"],
        "summary": "Say in words what pictures or the scenes of a video show",
        "description": (
            "Pictures are PNG, JPEG, WebP, GIF and BMP of any size, upright by EXIF. An animated "
            "GIF or WebP as the raw body, a field 'video', or video/*, is a video; of an animation "
            "in a field 'image' the first frame is captioned. Options may stand in the query, the "
            "form or the JSON; the body's win.\n\n"
            "The header Accept chooses the answer: application/json; text/event-stream for events "
            "word by word, as 'stream' does; image/png, for one picture, for a picture of where "
            "the model looked at each word of the best caption. Videos are answered in JSON."
        ),
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in names
            ),
            *(
                {"name": name, "in": "query", "required": False, "schema": schema}
                for name, schema in _OPTIONS.items()
            ),
        ],
        "requestBody": {"required": True, "content": _request_content()},
        "responses": _responses(),
    }


def _request_content() -> dict[str, Any]:
    files = {"type": "array", "items": _FILE, "minItems": 1}
    form = {
        "type": "object",
        "description": "One of image, video and frame; image and frame may be repeated.",
        "properties": {
            "image": {**files, "description": "A picture."},
            "video": {**_FILE, "description": "MP4 or MOV, or an animated GIF, WebP or PNG."},
            "frame": {**files, "description": "A frame of a video, by ascending time."},
            "time_s": {
                "type": "array",
                "items": {"type": "number", "minimum": 0},
                "description": "Of each frame; without it frames are a second apart.",
            },
            **_OPTIONS,
        },
    }
    return {
        "multipart/form-data": {"schema": form},
        "image/*": {"schema": _FILE},
        "video/*": {"schema": _FILE},
        "application/octet-stream": {"schema": _FILE},
        "application/json": {
            "schema": {"oneOf": [_json_schema(name, schema) for name, schema in _SOURCES.items()]},
            "examples": {
                "one": {"value": {"image": "/9j/4AAQ...", "captions": 3, "beam_width": 5}},
                "drawn": {"value": {"image": "/9j/4AAQ...", "temperature": 0.8, "seed": 7}},
                "several": {"value": {"images": ["/9j/4AAQ...", "iVBORw0KGgo..."]}},
                "video": {"value": {"video": "R0lGODlh..."}},
                "frames": {"value": {"frames": [{"time_s": 0.5, "image": "/9j/4AAQ..."}]}},
            },
        },
    }


_SOURCES: dict[str, Any] = {
    "image": _BASE64,
    "images": {"type": "array", "items": _BASE64, "minItems": 1},
    "video": _BASE64,
    "frames": {
        "type": "array",
        "minItems": 1,
        "description": "By ascending time.",
        "items": {
            "type": "object",
            "required": ["time_s", "image"],
            "properties": {"time_s": {"type": "number", "minimum": 0}, "image": _BASE64},
            "additionalProperties": False,
        },
    },
}


def _json_schema(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name],
        "properties": {name: schema, **_OPTIONS},
        "additionalProperties": False,
    }


def _responses() -> dict[str, Any]:
    answers = {
        "one": {"value": _EXAMPLE},
        "several": {"value": {"results": [_EXAMPLE, _EXAMPLE]}},
        "video": {"value": _EXAMPLE_VIDEO},
    }
    return {
        "200": {
            "description": (
                "The captions. Events tell one word or one whole caption each and end with "
                "'data: [DONE]'; an error in mid-stream is an event with the key 'error', the last."
            ),
            "content": {
                "application/json": {
                    "schema": {"oneOf": [_PICTURE, _PICTURES, _VIDEO]},
                    "examples": answers,
                },
                "text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE_EVENTS},
                "image/png": {"schema": _FILE},
            },
        },
        **{
            status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
            for status, text in _FAULTS.items()
        },
    }
