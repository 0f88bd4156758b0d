"""``POST /v1/images/generations``: pictures in the form of OpenAI's images API.

Beside the API's own fields it takes ``seed`` and ``truncation``, which the ``openai`` package sends
as ``extra_body``. A ``model`` that ends in ``:`` and digits names a version. ``prompt`` is what the
model is told: words, the name of a class, or for a model that is told nothing, nothing.
"""

import base64
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import quote, urlencode

import orjson

from quartet.image_generation import ImageGenerationTask
from serving.errors import InvalidInput
from serving.image_types import GeneratedImage, ImageAnswer, ImageOptions, ImageRequest, Samples
from serving.picture_files import PictureForm, PictureKind, check_quality, write_picture
from serving.rest.completion_request import split_model
from serving.rest.fields import (
    Reader,
    flag,
    number,
    one_of,
    parse_object,
    read_members,
    refused,
    text,
    whole,
)
from serving.rest.http import Receive, Reply, Scope, header, read_body, unless_client_leaves
from serving.rest.images_response import MadeImages, collect_images
from serving.rest.latent_text import check_count
from serving.service import InferenceService

BODY_BYTES = 1024 * 1024
"""Largest body."""
FILE_KINDS: tuple[PictureKind, ...] = ("png", "jpeg", "webp")
"""Of the files."""
_HOST = re.compile(r"[A-Za-z0-9._~:\[\]-]{1,255}")
_NO_STORE = ((b"cache-control", b"no-store"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationsCall:
    """What a request asks for."""

    model: str
    version: str
    prompt: str
    count: int = 1
    size: str = "auto"
    """``WIDTHxHEIGHT``, or auto: as the model makes them."""
    form: PictureForm
    """Of every file."""
    as_url: bool = False
    """Addresses in place of the pictures."""
    seed: int | None = None
    truncation: float | None = None


class ImageGenerations:
    """Answers requests in the form of that API."""

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

    async def answer(self, scope: Scope, receive: Receive, rid: str) -> Reply:
        """Serve one request; see ``Images.answer``."""
        body = await read_body(scope, receive, self._max_body_bytes)
        call = parse_generations(body, self._service.image_settings.max_images_http)
        task = self._service.image_generator(call.model, call.version).task
        check_size(call.size, task)
        request = ImageRequest(
            model_name=call.model,
            model_version=call.version,
            source=Samples(call.seed, call.count),
            options=told_by_prompt(call, task),
            request_id=rid,
        )
        made = await unless_client_leaves(receive, self._made(request))
        if call.as_url:
            data = picture_addresses(made, request, call.form, base_url(scope))
        else:
            data = await self._files(made, call.form)
        document = {
            "created": int(self._clock()),
            "data": data,
            "background": "opaque",
            "output_format": call.form.kind,
            "seed": made.answer.seed,
            "model": made.answer.model_name,
            "model_version": made.answer.model_version,
            "system_fingerprint": f"fp_{made.answer.fingerprint[:12]}",
        }
        return Reply(orjson.dumps(document), headers=_NO_STORE)

    async def _made(self, request: ImageRequest) -> MadeImages:
        return await collect_images(await self._service.generate_images(request))

    async def _files(self, made: MadeImages, form: PictureForm) -> list[dict[str, str]]:
        encoded: list[dict[str, str]] = []

        def work() -> bytes:
            for image in made.images:
                file = write_picture(image.pixels, form)
                encoded.append({"b64_json": base64.b64encode(file).decode()})
            return b""

        await self._service.picture_encoding.run(work)
        return encoded


def parse_generations(body: bytes, max_images: int) -> GenerationsCall:
    """Decode a request.

    Raises:
        InvalidInput: the body contradicts the API; the text begins with the field at fault.
    """
    values = read_members(parse_object(body), _READERS)
    for name, expected in (("model", "the name of a model, or NAME:VERSION"), ("prompt", "text")):
        if name not in values:
            raise InvalidInput(f"{name}: expected {expected}, got nothing")
    count = values.get("n", 1)
    check_count("n", "pictures", count, max_images)
    model, version = split_model(values["model"])
    return GenerationsCall(
        model=model,
        version=version,
        prompt=values["prompt"].strip(),
        count=count,
        size=values.get("size", "auto"),
        form=_form(values),
        as_url=values.get("response_format") == "url",
        seed=values.get("seed"),
        truncation=values.get("truncation"),
    )


def check_size(size: str, task: ImageGenerationTask) -> None:
    """Raise InvalidInput unless the model's pictures are of ``size``."""
    own = f"{task.width}x{task.height}"
    if size not in ("auto", own):
        raise InvalidInput(f"size: expected 'auto' or '{own}', got {size[:40]!r}")


def told_by_prompt(call: GenerationsCall, task: ImageGenerationTask) -> ImageOptions:
    """What ``prompt`` means to the model.

    Raises:
        InvalidInput: it names no class, or the model is told nothing.
    """
    prompt = call.prompt or None
    if task.condition == "prompt":
        return ImageOptions(truncation=call.truncation, prompt=prompt)
    if prompt is None:
        return ImageOptions(truncation=call.truncation)
    if task.condition == "none":
        raise InvalidInput(
            f"prompt: model {call.model!r} is told nothing, expected an empty prompt, "
            f"got {prompt[:40]!r}"
        )
    if prompt not in task.classes:
        raise InvalidInput(
            f"prompt: expected a class, {', '.join(task.classes)}, or an empty prompt for any of "
            f"them, got {prompt[:40]!r}"
        )
    return ImageOptions(truncation=call.truncation, class_name=prompt)


def base_url(scope: Scope) -> str:
    """Address of this server as the client wrote it.

    Raises:
        InvalidInput: the header Host is missing or no host.
    """
    host = header(scope, b"host")
    if host is None or _HOST.fullmatch(host) is None:
        raise InvalidInput(
            f"response_format: url needs a header Host that names this server, got {host!r:.80}; "
            "expected it, or the response_format b64_json"
        )
    return f"{scope.get('scheme', 'http')}://{host}"


def picture_addresses(
    made: MadeImages, request: ImageRequest, form: PictureForm, base: str
) -> list[dict[str, str]]:
    """Addresses that give the very pictures, for as long as the version is served."""
    return [{"url": _address(made.answer, image, request, form, base)} for image in made.images]


def _address(
    answer: ImageAnswer,
    image: GeneratedImage,
    request: ImageRequest,
    form: PictureForm,
    base: str,
) -> str:
    options = request.options
    said = {
        "seed": answer.seed,
        "index": None if image.point is None else image.point.index,
        "truncation": options.truncation,
        "class": options.class_name,
        "prompt": options.prompt,
        "format": form.kind,
        "quality": form.quality,
    }
    query = urlencode({name: value for name, value in said.items() if value is not None})
    model = quote(answer.model_name, safe="")
    return f"{base}/v1/images/{model}/versions/{answer.model_version}?{query}"


def _form(values: Mapping[str, Any]) -> PictureForm:
    kind = values.get("output_format", "png")
    compression = values.get("output_compression")
    # Clients of the API send its default, 100, with PNG, too.
    quality = None if kind == "png" and compression == 100 else compression
    if quality is not None:
        try:
            check_quality(kind, quality)
        except InvalidInput as error:
            raise InvalidInput(f"output_compression: {error.message}") from None
    return PictureForm(cast(PictureKind, kind), quality)


def _only_off(name: str, value: Any) -> Literal[False]:
    """A flag that may be there only if it is off."""
    if flag(name, value):
        raise InvalidInput(f"{name}: not supported; leave it out")
    return False


def _no_partial(name: str, value: Any) -> int:
    if whole(name, value) != 0:
        raise InvalidInput(f"{name}: expected 0, got {value}; pictures come whole")
    return 0


_READERS: Mapping[str, Reader] = {
    "model": text,
    "prompt": text,
    "n": whole,
    "size": text,
    "response_format": one_of("b64_json", "url"),
    "output_format": one_of(*FILE_KINDS),
    "output_compression": whole,
    "quality": one_of("auto", "standard"),
    "background": one_of("auto", "opaque"),
    "moderation": one_of("auto", "low"),
    "style": refused,
    "stream": _only_off,
    "partial_images": _no_partial,
    "user": text,
    "seed": whole,
    "truncation": number,
}
GENERATIONS_FIELDS = tuple(_READERS)
"""All that a request may have."""
