"""Generated pictures over gRPC: every field both ways, the messages' order, what stops them."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from serving import errors
from serving.grpc.image_calls import ENCODINGS_AHEAD
from serving.grpc.image_messages import (
    decode_critique,
    decode_form,
    decode_generate_images,
)
from serving.image_types import (
    Arithmetic,
    CritiqueRequest,
    GivenLatents,
    ImageOptions,
    ImageRequest,
    Interpolation,
    LatentPoint,
    LatentSource,
    Samples,
    SeedList,
)
from serving.pb.quartet.v1 import quartet_pb2 as pb
from serving.picture_files import PictureForm
from serving.types import MAX_IMAGES
from tests.fake_images import FINGERPRINT, SEED, SIZE, pixels_of
from tests.patience import TIMEOUT_S

SERVICE = "/quartet.v1.Quartet/"
FILE = pb.Image(data=b"\xff\xd8")


def request_of(count: int = 1, **fields: Any) -> pb.GenerateImagesRequest:
    samples = pb.ImageSamples(count=count)
    return pb.GenerateImagesRequest(
        **{"model_name": "m", "samples": samples, "id": "call", **fields}
    )


@pytest.fixture
def generate(channel: Any) -> Callable[..., Any]:
    method = channel.unary_stream(
        SERVICE + "GenerateImages",
        request_serializer=pb.GenerateImagesRequest.SerializeToString,
        response_deserializer=pb.GenerateImagesResponse.FromString,
    )
    return lambda request, **options: method(request, timeout=TIMEOUT_S, **options)


@pytest.fixture
def critique(channel: Any) -> Callable[..., Any]:
    method = channel.unary_unary(
        SERVICE + "CritiqueImages",
        request_serializer=pb.CritiqueImagesRequest.SerializeToString,
        response_deserializer=pb.CritiqueImagesResponse.FromString,
    )
    return lambda request, **options: method(request, timeout=TIMEOUT_S, **options)


def test_decode_reads_every_field_of_a_request() -> None:
    message = pb.GenerateImagesRequest(
        model_name="m",
        model_version="2",
        samples=pb.ImageSamples(seed=2**63 - 1, count=10**6, first=9),
        truncation=0.5,
        class_name="three",
        prompt="a thin three",
        directions={"older": 1.5, "female": -1.0},
        id="call",
    )
    assert decode_generate_images(message) == ImageRequest(
        model_name="m",
        model_version="2",
        source=Samples(2**63 - 1, 10**6, 9),
        options=ImageOptions(
            truncation=0.5,
            class_name="three",
            prompt="a thin three",
            directions={"older": 1.5, "female": -1.0},
        ),
        id="call",
        protocol="grpc",
    )


def test_decode_leaves_what_is_not_given_to_the_model() -> None:
    request = decode_generate_images(pb.GenerateImagesRequest())
    assert request.source == Samples(seed=None, count=1, first=0)
    assert request.options == ImageOptions()


def test_decode_tells_what_is_empty_from_what_is_not_given() -> None:
    message = pb.GenerateImagesRequest(
        samples=pb.ImageSamples(seed=0, count=0), truncation=0.0, class_name="", prompt=""
    )
    request = decode_generate_images(message)
    assert request.source == Samples(seed=0, count=0)
    assert request.options == ImageOptions(truncation=0.0, class_name="", prompt="")


POINTS = [pb.LatentPoint(seed=7), pb.LatentPoint(seed=2**63 - 1, index=2**32 - 1)]
READ_POINTS = (LatentPoint(7), LatentPoint(2**63 - 1, 2**32 - 1))


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"samples": pb.ImageSamples()}, Samples(None, 1, 0)),
        ({"seeds": pb.SeedList(seeds=[5, 0, 5], index=3)}, SeedList((5, 0, 5), 3)),
        ({"seeds": pb.SeedList()}, SeedList(())),
        ({"interpolation": pb.LatentPath(points=POINTS)}, Interpolation(READ_POINTS, 16)),
        (
            {"interpolation": pb.LatentPath(points=POINTS, frames=0, closed=True)},
            Interpolation(READ_POINTS, 0, closed=True),
        ),
        (
            {
                "arithmetic": pb.LatentSum(
                    terms=[
                        pb.LatentTerm(weight=1, point=POINTS[0]),
                        pb.LatentTerm(weight=-0.5, point=POINTS[1]),
                        pb.LatentTerm(weight=1, point=pb.LatentPoint()),
                    ]
                )
            },
            Arithmetic(((1.0, READ_POINTS[0]), (-0.5, READ_POINTS[1]), (1.0, LatentPoint(0)))),
        ),
        ({"arithmetic": pb.LatentSum()}, Arithmetic(())),
    ],
)
def test_decode_reads_where_z_comes_from(fields: dict[str, Any], source: LatentSource) -> None:
    assert decode_generate_images(pb.GenerateImagesRequest(**fields)).source == source


def test_decode_reads_given_latents_without_loss() -> None:
    z = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    latents = pb.LatentList(latents=[pb.Latent(values=row) for row in z])
    source = decode_generate_images(pb.GenerateImagesRequest(latents=latents)).source
    assert isinstance(source, GivenLatents)
    assert source.z.dtype == np.float32
    np.testing.assert_array_equal(source.z, z)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"latents": pb.LatentList()}, "^latents is empty, expected at least one$"),
        (
            {"latents": pb.LatentList(latents=[pb.Latent(values=[1, 2]), pb.Latent(values=[1])])},
            r"^latents\[1\] has 1 values, expected 2 as latents\[0\]$",
        ),
        (
            {"arithmetic": pb.LatentSum(terms=[pb.LatentTerm(weight=1)])},
            r"^arithmetic: terms\[0\] has no point, expected one$",
        ),
    ],
)
def test_decode_refuses_what_is_no_latent(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(errors.InvalidInput, match=complaint):
        decode_generate_images(pb.GenerateImagesRequest(**fields))


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({}, PictureForm("png")),
        ({"format": pb.IMAGE_FORMAT_PNG}, PictureForm("png")),
        ({"format": pb.IMAGE_FORMAT_JPEG}, PictureForm("jpeg")),
        ({"format": pb.IMAGE_FORMAT_JPEG, "quality": 1}, PictureForm("jpeg", 1)),
        ({"format": pb.IMAGE_FORMAT_WEBP, "quality": 100}, PictureForm("webp", 100)),
        ({"format": pb.IMAGE_FORMAT_RAW}, PictureForm("raw")),
    ],
)
def test_decode_reads_how_pictures_are_written(fields: dict[str, Any], form: PictureForm) -> None:
    assert decode_form(pb.GenerateImagesRequest(**fields)) == form


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"format": 9}, "^format: expected one of .*IMAGE_FORMAT_RAW, got 9$"),
        ({"quality": 90}, "^quality: got 90 with the format png, which has none"),
        ({"format": pb.IMAGE_FORMAT_RAW, "quality": 0}, "^quality: got 0 with the format raw"),
        ({"format": pb.IMAGE_FORMAT_JPEG, "quality": 0}, "^quality: expected 1 to 100, got 0$"),
        ({"format": pb.IMAGE_FORMAT_WEBP, "quality": 101}, "^quality: expected 1 to 100, got 101$"),
    ],
)
def test_decode_refuses_what_no_format_is(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(errors.InvalidInput, match=complaint):
        decode_form(pb.GenerateImagesRequest(**fields))


def test_decode_reads_every_field_of_a_critique() -> None:
    message = pb.CritiqueImagesRequest(
        model_name="m",
        model_version="2",
        images=[pb.Image(data=b"a"), pb.Image(data=b"b")],
        class_name="three",
        prompt="",
        id="call",
    )
    assert decode_critique(message) == CritiqueRequest(
        model_name="m",
        model_version="2",
        images=(b"a", b"b"),
        class_name="three",
        prompt="",
        id="call",
        protocol="grpc",
    )
    assert decode_critique(pb.CritiqueImagesRequest(images=[FILE])).class_name is None


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        ([], f"^0 images in one request, expected 1 to {MAX_IMAGES}$"),
        ([FILE, pb.Image()], r"^images\[1\] has 0 bytes, expected an encoded picture"),
    ],
)
def test_critique_of_no_picture_is_refused(images: list[pb.Image], complaint: str) -> None:
    with pytest.raises(errors.InvalidInput, match=complaint):
        decode_critique(pb.CritiqueImagesRequest(images=images))


def test_stream_comes_as_started_pictures_in_order_and_finished(
    generate: Any, service: Any
) -> None:
    count = 3 * ENCODINGS_AHEAD
    messages = list(
        generate(
            request_of(
                samples=pb.ImageSamples(count=count, first=5), prompt="a cat", class_name="two"
            )
        )
    )
    assert [m.WhichOneof("event") for m in messages] == ["started", *["image"] * count, "finished"]
    assert messages[0].started == pb.ImagesStarted(
        model_name="m",
        model_version="3",
        id="call",
        seed=SEED,
        count=count,
        height=SIZE[0],
        width=SIZE[1],
        channels=SIZE[2],
        prompt="a cat",
        fingerprint=FINGERPRINT,
    )
    for number, message in enumerate(messages[1:-1]):
        assert message.image == pb.GeneratedImage(
            number=number,
            data=b"png None " + pixels_of(number).tobytes(),
            point=pb.LatentPoint(seed=SEED, index=5 + number),
            class_name="two",
        )
    assert service.cancelled.is_set(), "every answer is closed"


def test_picture_of_no_seed_has_no_point(generate: Any) -> None:
    started, picture, *_ = generate(
        pb.GenerateImagesRequest(latents=pb.LatentList(latents=[pb.Latent(values=[0.5])]))
    )
    assert not started.started.HasField("seed")
    assert not picture.image.HasField("point")
    assert picture.image.class_name == ""


def test_raw_picture_is_its_pixels(generate: Any) -> None:
    _, picture, _ = generate(request_of(format=pb.IMAGE_FORMAT_RAW))
    assert picture.image.data == pixels_of(0).tobytes()


def test_format_and_quality_reach_the_encoder(generate: Any) -> None:
    _, picture, _ = generate(request_of(format=pb.IMAGE_FORMAT_JPEG, quality=33))
    assert picture.image.data == b"jpeg 33 " + pixels_of(0).tobytes()


def test_call_tells_the_service_its_deadline_and_id(
    generate: Any, critique: Any, service: Any
) -> None:
    before = time.monotonic()
    list(generate(request_of(), metadata=(("x-request-id", "call-7"),)))
    critique(pb.CritiqueImagesRequest(images=[FILE]), metadata=(("x-request-id", "call-8"),))
    asked, judged = service.images.requests[0], service.images.critiques[0]
    assert (asked.request_id, judged.request_id) == ("call-7", "call-8")
    for request in (asked, judged):
        # gRPC sends the time left in coarse units, rounded up.
        assert before < request.deadline < time.monotonic() + 1.1 * TIMEOUT_S


def test_picture_is_sent_before_the_next_is_made(generate: Any, service: Any, server: Any) -> None:
    gate = service.images.gate = asyncio.Semaphore(0)

    async def one_more() -> None:
        gate.release()

    call = generate(request_of(count=5))
    assert next(call).WhichOneof("event") == "started"
    for number in range(4):
        server.call(one_more())
        assert next(call).image.number == number
    call.cancel()


def test_stream_stops_when_the_client_cancels(generate: Any, service: Any) -> None:
    service.images.gate = asyncio.Semaphore(1)
    call = generate(request_of(count=9))
    assert [next(call).WhichOneof("event") for _ in range(2)] == ["started", "image"]
    call.cancel()
    assert service.cancelled.wait(TIMEOUT_S)
    assert service.images.made == 1


def test_stream_of_a_client_that_leaves_is_no_fault(generate: Any, service: Any) -> None:
    call = generate(request_of(count=20_000))
    assert next(call).WhichOneof("event") == "started"
    call.cancel()
    assert service.cancelled.wait(TIMEOUT_S)
    assert service.refused == []


@pytest.mark.parametrize(
    ("fault", "code", "details"),
    [
        (errors.InferenceFailed("the engine failed"), "INTERNAL", "the engine failed"),
        (errors.DeadlineExceeded("late"), "DEADLINE_EXCEEDED", "late"),
        (RuntimeError("a secret"), "INTERNAL", "internal error"),
    ],
)
def test_fault_comes_behind_the_pictures_before_it(
    generate: Any, service: Any, fault: Exception, code: str, details: str
) -> None:
    service.images.fault, service.images.fault_at = fault, 2
    call = generate(request_of(count=4))
    assert next(call).WhichOneof("event") == "started"
    assert [next(call).image.number for _ in range(2)] == [0, 1]
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code().name == code
    assert details in str(caught.value.details())
    assert "secret" not in str(caught.value.details())
    assert service.cancelled.wait(TIMEOUT_S)


def test_critique_answers_each_picture_in_order(critique: Any) -> None:
    images = [pb.Image(data=b"ab"), pb.Image(data=b"abcd"), FILE]
    response = critique(pb.CritiqueImagesRequest(model_name="m", images=images, id="call"))
    assert (response.model_name, response.model_version, response.id) == ("m", "3", "call")
    assert list(response.probabilities) == [0.5, 0.25, 0.5]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotSupported("generates no pictures"), "UNIMPLEMENTED"),
        (errors.InvalidInput("samples"), "INVALID_ARGUMENT"),
        (errors.QueueFull("full", retry_after_s=2.0), "RESOURCE_EXHAUSTED"),
        (errors.ModelNotFound("absent"), "NOT_FOUND"),
    ],
)
def test_refusal_has_the_status_of_its_error_in_every_method(
    generate: Any, critique: Any, service: Any, error: errors.ServingError, code: str
) -> None:
    service.error = error
    calls: tuple[Callable[[], Any], ...] = (
        lambda: next(generate(request_of())),
        lambda: critique(pb.CritiqueImagesRequest(images=[FILE])),
    )
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code().name == code
        assert caught.value.details() == error.message
    assert service.refused == [("grpc", error.outcome)] * 2


def test_bad_request_is_refused_before_the_service_hears_of_it(generate: Any, service: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(generate(request_of(format=9)))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert service.images.requests == []


@pytest.mark.parametrize("method", ["GenerateImages", "CritiqueImages"])
def test_garbage_is_the_clients_fault(channel: Any, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(channel.unary_stream(SERVICE + method)(b"\xff\xff", timeout=TIMEOUT_S))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
