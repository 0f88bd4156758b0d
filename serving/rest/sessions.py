"""Sessions: texts whose state the server keeps; ``/v1/sessions`` and below.

The text of a session is gone on with by the completions API, with ``session`` in the body or by
``/v1/sessions/{id}/completions``, which is one of the hot routes.
"""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from serving.errors import InvalidInput
from serving.rest.completion_request import BODY_BYTES, UNKNOWN, split_model
from serving.rest.fields import Reader, ids, parse_object, read_members, text, whole, wrong
from serving.rest.http import BINARY_TYPE, client_host, read_body, unless_client_leaves
from serving.rest.v2_routes import ErrorBody
from serving.service import InferenceService
from serving.session_types import SessionInfo, SessionRequest
from serving.token_scheduler import RowState
from serving.types import Array, Datatype

SessionId = Annotated[str, Path(description="Id of the session.")]


_JSON = "application/json"


class TensorBody(BaseModel):
    """One tensor of a state, row-major."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class ReplacedBody(BaseModel):
    """A character of the prompt that the model does not know."""

    character: str
    replacement: str = Field(description="What it became; empty: it was dropped.")
    count: int


class SessionBody(BaseModel):
    """A kept text. Times are Unix times, seconds."""

    id: str = Field(description="Whoever knows it may use the session.")
    object: str = "session"
    model: str
    version: str = Field(description="The version that ran last; any of the same weights goes on.")
    sha256: str = Field(description="Of the weights that the state belongs to.")
    created: float
    expires: float = Field(description="When it is dropped unless it is used before.")
    symbols: int = Field(description="Symbols of the text, read and written.")
    text: str = Field(description="The text's end.")
    seed: int = Field(description="Of what is written next, unless a request says otherwise.")
    position: int = Field(description="Symbols written.")
    in_use: bool
    replaced_characters: list[ReplacedBody] | None = None
    state: list[TensorBody] | None = None


def sessions_router(service: InferenceService, *, max_body_bytes: int) -> APIRouter:
    """The routes, bound to ``service``."""
    router = APIRouter(tags=["sessions"])
    _add_making(router, service, max_body_bytes)
    _add_reading(router, service)
    return router


def _add_making(router: APIRouter, service: InferenceService, max_body_bytes: int) -> None:
    made: dict[str, Any] = {"status_code": 201, "response_model": SessionBody}

    @router.post("/v1/sessions", **made, responses=_ERRORS, openapi_extra=_CREATE)
    async def create_session(request: Request) -> Response:
        """Let a model read a prompt, and keep where it stands."""
        body = await read_body(request.scope, request.receive, min(max_body_bytes, BODY_BYTES))
        wanted = _session_request(body)
        wanted.client = wanted.client or client_host(request.scope)
        return _made(await unless_client_leaves(request.receive, service.create_session(wanted)))

    @router.post("/v1/sessions/import", **made, responses=_ERRORS, openapi_extra=_IMPORT)
    async def import_session(request: Request) -> Response:
        """Keep a session that a server with the same key exported. It gets a new id."""
        blob = await read_body(request.scope, request.receive, max_body_bytes)
        return _made(await service.import_session(blob))

    @router.post("/v1/sessions/{session_id}/fork", **made, responses=_ERRORS)
    async def fork_session(session_id: SessionId) -> Response:
        """A second session that stands where this one stands now."""
        return _made(await service.fork_session(session_id))


def _add_reading(router: APIRouter, service: InferenceService) -> None:
    @router.get("/v1/sessions/{session_id}", response_model=SessionBody, responses=_ERRORS)
    async def session(
        session_id: SessionId,
        state: Annotated[bool, Query(description="Give the hidden state as well.")] = False,
    ) -> Response:
        """What is known of a session. Looking at it does not keep it longer."""
        info = service.session(session_id)
        return _answer(info, service.session_state(session_id) if state else None)

    @router.get(
        "/v1/sessions/{session_id}/export",
        response_class=Response,
        responses={200: {"content": {BINARY_TYPE.decode(): {}}}, **_ERRORS},
    )
    async def export_session(session_id: SessionId) -> Response:
        """The session as signed bytes, for ``/v1/sessions/import`` here or elsewhere."""
        blob = service.export_session(session_id)
        headers = {"content-disposition": 'attachment; filename="session.bin"'}
        return Response(blob, media_type=BINARY_TYPE.decode(), headers=headers)

    @router.delete("/v1/sessions/{session_id}", status_code=204, responses=_ERRORS)
    async def delete_session(session_id: SessionId) -> Response:
        """Forget a session."""
        service.delete_session(session_id)
        return Response(status_code=204)


def _session_request(body: bytes) -> SessionRequest:
    """Decode the body of a session's making. Raises InvalidInput."""
    values = read_members(parse_object(body), _READERS)
    if "model" not in values:
        raise InvalidInput("model: expected the name of a model, or NAME:VERSION")
    name, version = split_model(values["model"])
    prompt = values.get("prompt", "")
    return SessionRequest(
        model_name=name,
        model_version=version,
        prompt=prompt if isinstance(prompt, str) else "",
        prompt_ids=None if isinstance(prompt, str) else prompt,
        seed=values.get("seed"),
        unknown=values.get("unknown", "map"),
        client=values.get("user", ""),
    )


def _prompt(name: str, value: Any) -> str | tuple[int, ...]:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return ids(name, value)
    raise wrong(name, "a string, or an array of symbol ids", value)


_READERS: dict[str, Reader] = {
    "model": text,
    "prompt": _prompt,
    "seed": whole,
    "unknown": UNKNOWN,
    "user": text,
}


def _made(info: SessionInfo) -> Response:
    """The answer to what made a session."""
    response = _answer(info, None)
    response.status_code = 201
    response.headers["location"] = f"/v1/sessions/{info.id}"
    return response


def _answer(info: SessionInfo, state: RowState | None) -> Response:
    document: dict[str, Any] = {
        "id": info.id,
        "object": "session",
        "model": info.model,
        "version": info.version,
        "sha256": info.sha256,
        "created": info.created,
        "expires": info.expires,
        "symbols": info.symbols,
        "text": info.text,
        "seed": info.seed,
        "position": info.position,
        "in_use": info.in_use,
    }
    if info.replaced:
        document["replaced_characters"] = info.replaced
    if state is not None:
        document["state"] = [_tensor(name, array) for name, array in state.items()]
    return Response(orjson.dumps(document), media_type=_JSON)


def _tensor(name: str, array: Array) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": Datatype.FP32.wire,
        "shape": array.shape,
        "data": array.ravel().tolist(),
    }


_CREATE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _JSON: {
                "schema": {
                    "type": "object",
                    "required": ["model"],
                    "additionalProperties": False,
                    "properties": {
                        "model": {"type": "string", "description": "NAME or NAME:VERSION."},
                        "prompt": {
                            "description": "Text, or ids of symbols.",
                            "oneOf": [
                                {"type": ["string", "null"]},
                                {"type": "array", "items": {"type": "integer"}, "minItems": 1},
                            ],
                        },
                        "seed": {"type": ["integer", "null"], "minimum": 0},
                        "unknown": {
                            "type": ["string", "null"],
                            "enum": ["map", "refuse", None],
                            "description": "Characters that the model does not know.",
                        },
                        "user": {"type": ["string", "null"]},
                    },
                },
                "example": {"model": "shakespeare", "prompt": "ROMEO:", "seed": 7},
            }
        },
    }
}
_IMPORT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            BINARY_TYPE.decode(): {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request, or the exported session, is wrong."},
    404: {"model": ErrorBody, "description": "No such session or model."},
    409: {"model": ErrorBody, "description": "The session is in use, or no weights here fit it."},
    429: {"model": ErrorBody, "description": "As many sessions are kept as may be."},
}
