"""``images.generate`` of the ``openai`` package against the running server."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from openai import OpenAI
from openai.types import ImagesResponse
from PIL import Image

from serving.image_types import Pixels
from tests.e2e.process import ServerProcess
from tests.image_models import SIDE

pytestmark = pytest.mark.e2e


@pytest.fixture
def client(image_server: ServerProcess) -> Iterator[OpenAI]:
    """A client that does not try again."""
    url = f"http://{image_server.http_address}/v1"
    with OpenAI(base_url=url, api_key="any", max_retries=0) as connected:
        yield connected


def generate(client: OpenAI, seed: int | None = 7, **fields: Any) -> ImagesResponse:
    """One answer; ``seed``: None lets the server draw one."""
    extra = {"extra_body": {"seed": seed, **fields.pop("extra_body", {})}}
    asked: dict[str, Any] = {"model": "faces", "prompt": "", **extra, **fields}
    answer = client.images.generate(**asked)
    assert isinstance(answer, ImagesResponse)
    return answer


def files(answer: ImagesResponse) -> list[bytes]:
    assert answer.data is not None
    return [base64.b64decode(one.b64_json or "", validate=True) for one in answer.data]


def pixels(file: bytes) -> Pixels:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image)


def test_pictures_come_as_files_with_the_fields_of_the_api(
    client: OpenAI, image_server: ServerProcess
) -> None:
    answer = generate(client, n=2, size=f"{SIDE}x{SIDE}", quality="auto", background="auto")
    assert answer.created > 1_600_000_000
    assert (answer.output_format, answer.background) == ("png", "opaque")
    extra = answer.model_extra
    assert extra is not None
    assert (extra["model"], extra["model_version"], extra["seed"]) == ("faces", "2", 7)
    by_rest = [
        image_server.request("GET", f"/v1/images/faces?seed=7&index={index}").body
        for index in range(2)
    ]
    assert files(answer) == by_rest


@pytest.mark.parametrize(("kind", "name"), [("png", "PNG"), ("webp", "WEBP"), ("jpeg", "JPEG")])
def test_output_format_chooses_the_file(client: OpenAI, kind: Any, name: str) -> None:
    (file,) = files(generate(client, output_format=kind))
    with Image.open(io.BytesIO(file)) as image:
        assert (image.format, image.size) == (name, (SIDE, SIDE))


def test_output_compression_is_the_quality(client: OpenAI) -> None:
    low, high = (
        files(generate(client, output_format="jpeg", output_compression=quality))
        for quality in (5, 95)
    )
    assert len(low[0]) < len(high[0])
    assert files(generate(client, output_compression=100)) == files(generate(client))


@pytest.mark.parametrize("output", [{}, {"output_format": "jpeg", "output_compression": 80}])
def test_address_gives_the_very_picture_for_ever(client: OpenAI, output: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"n": 2, "extra_body": {"truncation": 0.7}, **output}
    answer = generate(client, seed=None, response_format="url", **asked)
    assert answer.data is not None
    assert answer.model_extra is not None
    pictures = [httpx.get(one.url or "") for one in answer.data]
    for picture in pictures:
        assert picture.status_code == 200
        assert "immutable" in picture.headers["cache-control"]
    again = generate(client, seed=answer.model_extra["seed"], **asked)
    assert [picture.content for picture in pictures] == files(again)


@pytest.mark.parametrize(
    ("model", "prompt"), [("words", "a red dog"), ("words", ""), ("digits", "two"), ("digits", "")]
)
def test_address_says_what_the_model_was_told(client: OpenAI, model: str, prompt: str) -> None:
    answer = generate(client, model=model, prompt=prompt, response_format="url")
    assert answer.data is not None
    picture = httpx.get(answer.data[0].url or "").content
    assert [picture] == files(generate(client, model=model, prompt=prompt))


def test_prompt_names_a_class_or_says_words(client: OpenAI, image_server: ServerProcess) -> None:
    (digit,) = files(generate(client, model="digits", prompt=" two "))
    path = "/v1/images/digits?seed=7&class=two"
    assert digit == image_server.request("GET", path).body
    cat, dog = (generate(client, model="words", prompt=p) for p in ("a red cat", "a blue dog"))
    assert files(cat) != files(dog)


def test_seed_that_the_server_draws_gives_the_pictures_again(client: OpenAI) -> None:
    first = generate(client, seed=None, n=2)
    assert first.model_extra is not None
    assert files(generate(client, seed=first.model_extra["seed"], n=2)) == files(first)
    assert files(generate(client, seed=None, n=2)) != files(first)


def test_model_may_name_a_version(client: OpenAI) -> None:
    one, two = (files(generate(client, model=f"faces:{version}")) for version in (1, 2))
    assert one != two == files(generate(client))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "a cat"}, "prompt"),
        ({"model": "digits", "prompt": "nine"}, "prompt"),
        ({"model": "words", "prompt": "a green cat"}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 2000}, "n"),
        ({"size": "1024x1024"}, "size"),
        ({"quality": "hd"}, "quality"),
        ({"style": "vivid"}, "style"),
        ({"background": "transparent"}, "background"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_compression": 50}, "output_compression"),
        ({"output_format": "jpeg", "output_compression": 0}, "output_compression"),
        ({"response_format": "file"}, "response_format"),
        ({"partial_images": 2}, "partial_images"),
        ({"extra_body": {"stream": True}}, "stream"),
        ({"extra_body": {"seed": -1}}, "seed"),
        ({"extra_body": {"truncation": 0}}, "truncation"),
        ({"extra_body": {"steps": 30}}, "steps"),
    ],
)
def test_bad_field_raises_bad_request_with_its_name(
    client: OpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        generate(client, **fields)
    assert error.value.param == param
    assert error.value.type == "invalid_request_error"
    assert error.value.request_id


@pytest.mark.parametrize("model", ["nobody", "faces:9"])
def test_unknown_model_raises_not_found(client: OpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        generate(client, model=model)
    assert (error.value.code, error.value.param) == ("model_not_found", "model")


def test_model_that_makes_no_pictures_raises_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        generate(client, model="plus")
    assert (error.value.code, error.value.param) == ("not_supported", "model")


def test_host_that_is_none_gets_no_address(image_server: ServerProcess) -> None:
    body = '{"model": "faces", "prompt": "", "response_format": "url"}'
    headers = {"content-type": "application/json", "host": 'evil"/path?'}
    answer = image_server.request("POST", "/v1/images/generations", body, headers)
    assert answer.status == 400
    assert answer.json()["error"]["param"] == "response_format"


def test_models_that_make_pictures_are_listed(client: OpenAI) -> None:
    assert {"faces", "digits", "words"} <= {model.id for model in client.models.list()}
