"""``POST /v1/captions/{model}``: what pictures and videos show, in words.

One request, three forms of answer: JSON, server-sent events word by word, and for one picture a
PNG file that shows where the model looked.
"""

from dataclasses import replace
from urllib.parse import parse_qsl

from serving.caption_types import (
    Caption,
    CaptionPiece,
    CaptionRequest,
    CaptionResponse,
    VideoRequest,
    collect_captions,
)
from serving.errors import InvalidInput
from serving.rest.accept import choose_type
from serving.rest.caption_request import CaptionCall, parse_captions
from serving.rest.caption_response import CaptionEvents, render_captions, render_video
from serving.rest.http import (
    Receive,
    Reply,
    Scope,
    client_host,
    error_reply,
    header,
    read_body,
    unless_client_leaves,
)
from serving.rest.sse import EventStream
from serving.service import InferenceService

JSON = "application/json"
PNG = "image/png"
EVENTS = "text/event-stream"

Answer = Reply | EventStream[CaptionPiece]


class Captions:
    """Answers requests for captions."""

    def __init__(self, service: InferenceService, *, max_body_bytes: int) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes

    async def answer(
        self, scope: Scope, receive: Receive, model: tuple[str, str], rid: str
    ) -> Answer:
        """Serve one request.

        Args:
            scope: of the request.
            receive: gives its body.
            model: name and version; no version: empty.
            rid: the request's id.

        Raises:
            ServingError: nothing was begun, or nobody waits for the answer any more.
        """
        body = await read_body(scope, receive, self._max_body_bytes)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        call = parse_captions(body, header(scope, b"content-type") or "", query)
        kind = answer_type(header(scope, b"accept"), call)
        if call.source.is_video:
            video = _video_request(call, model, client_host(scope), rid)
            found = await unless_client_leaves(receive, self._service.caption_video(video))
            return Reply(render_video(found))
        request = _request(call, model, client_host(scope), rid)
        if kind == EVENTS:
            return await self._streamed(receive, request)
        if kind == PNG:
            picture = await unless_client_leaves(receive, self._drawn(request))
            return Reply(picture, content_type=PNG.encode())
        response = await unless_client_leaves(receive, self._whole(request))
        return Reply(render_captions(response, many=call.source.many))

    async def _streamed(
        self, receive: Receive, request: CaptionRequest
    ) -> EventStream[CaptionPiece]:
        answer = await unless_client_leaves(receive, self._service.caption(request))
        events = CaptionEvents(answer)
        return EventStream(
            items=aiter(answer),
            render=events.event,
            end=events.end,
            error=lambda error: error_reply(error, request.request_id).body,
            close=answer.aclose,
        )

    async def _whole(self, request: CaptionRequest) -> CaptionResponse:
        return await collect_captions(await self._service.caption(request))

    async def _drawn(self, request: CaptionRequest) -> bytes:
        """The attention of the best caption, as a PNG file."""
        if len(request.images) != 1:
            raise InvalidInput(
                f"Accept: {PNG} shows one picture, got {len(request.images)}; send one, or accept "
                f"{JSON}"
            )
        request.options = replace(request.options, attention=True)
        response = await self._whole(request)
        request.model_version = response.model_version
        return await self._service.attention_picture(request, _best(response))


def _request(call: CaptionCall, model: tuple[str, str], client: str, rid: str) -> CaptionRequest:
    return CaptionRequest(
        model_name=model[0],
        model_version=model[1],
        images=call.source.images,
        options=call.options,
        client=client,
        request_id=rid,
    )


def _video_request(
    call: CaptionCall, model: tuple[str, str], client: str, rid: str
) -> VideoRequest:
    return VideoRequest(
        model_name=model[0],
        model_version=model[1],
        video=call.source.video,
        frames=call.source.frames,
        options=call.options,
        client=client,
        request_id=rid,
    )


def answer_type(accept: str | None, call: CaptionCall) -> str:
    """The media type of the answer.

    A stream that the request asks for by its own field is sent also to clients that only name
    JSON, as those of the completions API do.

    Raises:
        NotAcceptable: the client takes none that there is.
    """
    if call.source.is_video:
        return choose_type(accept, (JSON,))
    if call.stream:
        choose_type(accept, (EVENTS, JSON))
        return EVENTS
    if call.stream is None:
        return choose_type(accept, (JSON, PNG, EVENTS))
    return choose_type(accept, (JSON, PNG))


def _best(response: CaptionResponse) -> Caption:
    """The first that a search found; of drawn captions the likeliest."""
    captions = response.results[0]
    if response.seed is None:
        return captions[0]
    return max(captions, key=lambda caption: caption.log_probability)
