"""``POST /v1/completions``: text in the form of the completions API, whole or streamed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from serving.generation_types import (
    FinishedText,
    GeneratedText,
    GenerateRequest,
    Piece,
    collect,
)
from serving.rest.api_errors import api_error_json
from serving.rest.completion_request import BODY_BYTES, following, parse_completion
from serving.rest.completion_response import CompletionWriter
from serving.rest.http import (
    Receive,
    Reply,
    Scope,
    client_host,
    read_body,
    unless_client_leaves,
)
from serving.rest.merged_answers import close_all, merged
from serving.rest.sse import EventStream
from serving.service import InferenceService


class Completions:
    """Answers completions requests."""

    def __init__(
        self,
        service: InferenceService,
        *,
        max_body_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` gives Unix time, seconds."""
        self._service = service
        self._max_body_bytes = min(max_body_bytes, BODY_BYTES)
        self._clock = clock

    async def answer(
        self, scope: Scope, receive: Receive, rid: str, *, session: str = ""
    ) -> Reply | EventStream[Piece]:
        """Serve one request.

        Args:
            scope: of the request.
            receive: gives its body.
            rid: its id.
            session: the stored state that the path names; empty: none.

        Raises:
            ServingError: nothing was begun, or nobody waits for the whole answer any more.
        """
        body = await read_body(scope, receive, self._max_body_bytes)
        call = parse_completion(body, session=session)
        host = client_host(scope)
        requests = [
            replace(request, client=request.client or host, request_id=rid)
            for request in call.requests
        ]
        answers = await self._begin(requests)
        writer = CompletionWriter(
            call, answers, answer_id=f"cmpl-{rid}", created=int(self._clock())
        )
        if call.stream:
            return EventStream(
                items=merged(answers, call.n),
                render=writer.event,
                end=writer.end,
                error=api_error_json,
                close=partial(close_all, answers),
            )
        return Reply(writer.whole(await unless_client_leaves(receive, _all_texts(answers))))

    async def _begin(self, requests: Sequence[GenerateRequest]) -> list[GeneratedText]:
        """All answers, or none."""
        answers: list[GeneratedText] = []
        try:
            for place, request in enumerate(requests):
                if answers:
                    request = following(request, answers[0].receipt, place)
                answers.append(await self._service.generate(request))
        except BaseException:
            await close_all(answers)
            raise
        return answers


async def _all_texts(answers: Sequence[GeneratedText]) -> list[tuple[FinishedText, ...]]:
    try:
        return [await collect(answer) for answer in answers]
    finally:
        await close_all(answers)
