"""``/v1/images/{model}``: pictures of noise, in one file or many."""

from serving.image_types import ImageRequest
from serving.rest.http import Receive, Reply, Scope, header, read_body, unless_client_leaves
from serving.rest.images_cache import (
    NEVER,
    Headers,
    cache_headers,
    entity_tag,
    has_already,
    is_repeatable,
    not_modified,
)
from serving.rest.images_form import AnswerForm, check_pixels, choose_form, picture_count
from serving.rest.images_request import ImagesCall, parse_images
from serving.rest.images_response import collect_images, image_headers, render_images
from serving.service import InferenceService


class Images:
    """Answers GET, HEAD and POST for pictures."""

    def __init__(self, service: InferenceService, *, max_body_bytes: int) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes

    async def answer(
        self, scope: Scope, receive: Receive, model: tuple[str, str], rid: str
    ) -> Reply:
        """Serve one request.

        Args:
            scope: of the request.
            receive: gives its body.
            model: name and version; no version: empty.
            rid: the request's id.

        Raises:
            ServingError: there is no such model, the request is at fault, or the engine.
        """
        posted = scope["method"] == "POST"
        # Of GET, too: behind it the client's leaving is waited for. It means nothing there.
        body = await read_body(scope, receive, self._max_body_bytes)
        settings = self._service.image_settings
        call = parse_images(
            scope["query_string"],
            body if posted else b"",
            header(scope, b"content-type") or "",
            settings.max_images_http,
        )
        form = choose_form(call.wishes, header(scope, b"accept"), call.source)
        generator = self._service.image_generator(*model)
        check_pixels(form, picture_count(call.source), generator.task, settings.max_picture_pixels)
        request = ImageRequest(
            model_name=model[0],
            model_version=model[1],
            source=call.source,
            options=call.options,
            request_id=rid,
        )
        if posted:
            return await self._made(receive, request, form, ((b"cache-control", NEVER),))
        facts = generator.facts
        tag = None
        if is_repeatable(call.source):
            tag = entity_tag(call, form, facts.fingerprint, facts.version)
        keeping = cache_headers(tag, pinned=bool(model[1]), negotiated=_negotiated(call))
        if tag is not None and has_already(header(scope, b"if-none-match"), tag):
            return not_modified(keeping)
        # The version that the tag is of: another may become the highest meanwhile.
        request.model_version = facts.version
        return await self._made(receive, request, form, keeping)

    async def _made(
        self, receive: Receive, request: ImageRequest, form: AnswerForm, keeping: Headers
    ) -> Reply:
        """Make the pictures and write their file."""

        async def work() -> Reply:
            made = await collect_images(await self._service.generate_images(request))
            body = await self._service.picture_encoding.run(lambda: render_images(made, form))
            return Reply(
                body,
                content_type=form.media_type.encode(),
                headers=(*image_headers(made.answer, form), *keeping),
                compressible=False,
            )

        return await unless_client_leaves(receive, work())


def _negotiated(call: ImagesCall) -> bool:
    return call.wishes.format is None
