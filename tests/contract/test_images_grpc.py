"""Generated pictures of the real server over gRPC: what REST gives, picture by picture."""

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import grpc
import numpy as np
import pytest
from PIL import Image

from quartet.latents import latents
from serving.pb.quartet.v1 import quartet_pb2 as pb
from tests.e2e.process import ServerProcess
from tests.image_models import CLASSES, LATENT, SIDE
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
RAW = pb.IMAGE_FORMAT_RAW


@pytest.fixture
def generate(image_server: ServerProcess) -> Iterator[Callable[..., Any]]:
    """GenerateImages; keywords become fields of the request."""
    with grpc.insecure_channel(image_server.grpc_address) as channel:
        method = channel.unary_stream(
            "/quartet.v1.Quartet/GenerateImages",
            request_serializer=pb.GenerateImagesRequest.SerializeToString,
            response_deserializer=pb.GenerateImagesResponse.FromString,
        )

        def call(**fields: Any) -> Any:
            return method(
                pb.GenerateImagesRequest(**{"model_name": "faces", **fields}), timeout=TIMEOUT_S
            )

        yield call


@pytest.fixture
def critique(image_server: ServerProcess) -> Iterator[Callable[..., Any]]:
    """CritiqueImages; keywords become fields of the request."""
    with grpc.insecure_channel(image_server.grpc_address) as channel:
        method = channel.unary_unary(
            "/quartet.v1.Quartet/CritiqueImages",
            request_serializer=pb.CritiqueImagesRequest.SerializeToString,
            response_deserializer=pb.CritiqueImagesResponse.FromString,
        )

        def call(*files: bytes, **fields: Any) -> pb.CritiqueImagesResponse:
            images = [pb.Image(data=file) for file in files]
            request = pb.CritiqueImagesRequest(**{"model_name": "faces", **fields}, images=images)
            answer: pb.CritiqueImagesResponse = method(request, timeout=TIMEOUT_S)
            return answer

        yield call


def samples(seed: int, count: int = 1, first: int = 0) -> pb.ImageSamples:
    return pb.ImageSamples(seed=seed, count=count, first=first)


def pictures(messages: Any) -> list[pb.GeneratedImage]:
    """Those of a whole stream, whose form is checked."""
    found = list(messages)
    assert found[0].WhichOneof("event") == "started"
    assert found[-1].WhichOneof("event") == "finished"
    images = [message.image for message in found[1:-1]]
    assert found[0].started.count == len(images)
    assert [image.number for image in images] == list(range(len(images)))
    return images


def data(messages: Any) -> list[bytes]:
    return [image.data for image in pictures(messages)]


def over_rest(server: ServerProcess, model: str = "faces", **said: Any) -> list[bytes]:
    """The pixels of each picture, as REST gives them."""
    path = f"/v1/images/{model}?{urlencode(said)}"
    answer = server.request("GET", path, headers={"accept": "application/octet-stream"})
    assert answer.status == 200, answer.body
    count = int(answer.headers["quartet-shape"].split(",")[0])
    size = len(answer.body) // count
    return [answer.body[start : start + size] for start in range(0, len(answer.body), size)]


def point(seed: int, index: int = 0) -> pb.LatentPoint:
    return pb.LatentPoint(seed=seed, index=index)


SOURCES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "samples": ({"samples": samples(7, 5, 3)}, {"seed": 7, "n": 5, "index": 3}),
    "one sample": ({"samples": pb.ImageSamples(seed=0)}, {"seed": 0}),
    "seeds": ({"seeds": pb.SeedList(seeds=[9, 1, 9], index=2)}, {"seeds": "9,1,9", "index": 2}),
    "interpolation": (
        {"interpolation": pb.LatentPath(points=[point(7), point(12, 3)], frames=9)},
        {"interpolate": "7,12:3", "frames": 9},
    ),
    "closed interpolation of the usual length": (
        {"interpolation": pb.LatentPath(points=[point(7), point(12)], closed=True)},
        {"interpolate": "7,12", "closed": "true"},
    ),
    "arithmetic": (
        {
            "arithmetic": pb.LatentSum(
                terms=[
                    pb.LatentTerm(weight=1, point=point(7)),
                    pb.LatentTerm(weight=-1, point=point(12, 1)),
                    pb.LatentTerm(weight=0.5, point=point(31)),
                ]
            )
        },
        {"arithmetic": "7 - 12:1 + 0.5*31"},
    ),
    "truncation": (
        {"samples": samples(7, 2), "truncation": 0.5},
        {"seed": 7, "n": 2, "truncation": 0.5},
    ),
    "directions": (
        {"samples": samples(7), "directions": {"younger": 1.5, "redder": -1.0}},
        {"seed": 7, "direction": "younger:1.5,redder:-1"},
    ),
}


@pytest.mark.parametrize("case", SOURCES)
def test_pixels_are_those_of_rest(image_server: ServerProcess, generate: Any, case: str) -> None:
    fields, said = SOURCES[case]
    assert data(generate(**fields, format=RAW)) == over_rest(image_server, **said)


def test_given_latents_make_the_pictures_of_their_seeds(generate: Any) -> None:
    z = latents(np.array([7, 7], np.uint64), np.array([0, 4]), LATENT)
    given = pb.LatentList(latents=[pb.Latent(values=row) for row in z])
    found = pictures(generate(latents=given, format=RAW))
    assert not any(image.HasField("point") for image in found)
    seeded = data(generate(samples=samples(7, 5), format=RAW))
    assert [image.data for image in found] == [seeded[0], seeded[4]]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_name": "digits", "class_name": "two"}, {"class": "two"}),
        ({"model_name": "digits", "class_name": "1"}, {"class": "1"}),
        ({"model_name": "digits"}, {}),
        ({"model_name": "words", "prompt": "a red dog"}, {"prompt": "a red dog"}),
        ({"model_name": "words"}, {}),
    ],
)
def test_what_is_said_reaches_the_model(
    image_server: ServerProcess, generate: Any, fields: dict[str, Any], said: dict[str, Any]
) -> None:
    found = data(generate(**fields, samples=samples(7, 4), format=RAW))
    assert found == over_rest(image_server, fields["model_name"], seed=7, n=4, **said)


def test_class_and_point_of_each_picture_are_told(
    image_server: ServerProcess, generate: Any
) -> None:
    found = pictures(generate(model_name="digits", samples=samples(7, 16, 5)))
    answer = image_server.request("GET", "/v1/images/digits?seed=7&n=16&index=5&format=json")
    told = [
        {
            "seed": image.point.seed,
            "index": image.point.index,
            "class": image.class_name,
            "image": base64.b64encode(image.data).decode(),
        }
        for image in found
    ]
    assert told == answer.json()["images"]
    assert {image.class_name for image in found} == set(CLASSES)


def test_start_of_a_stream_tells_of_the_model_what_rest_tells(
    image_server: ServerProcess, generate: Any
) -> None:
    started = next(generate(samples=samples(9, 2), id="call")).started
    told = image_server.request("GET", "/v1/images/faces?seed=9&n=2&format=json").json()
    assert (started.model_name, started.model_version) == ("faces", "2")
    assert (started.id, started.seed, started.count) == ("call", 9, 2)
    assert (started.height, started.width, started.channels) == (SIDE, SIDE, 3)
    assert started.fingerprint == told["fingerprint"]
    assert started.prompt == ""
    assert next(generate(model_name="words")).started.prompt == "a cat"


def test_seed_that_the_server_draws_is_told(generate: Any) -> None:
    messages = list(generate(format=RAW))
    seed = messages[0].started.seed
    assert data(generate(samples=samples(seed), format=RAW)) == [messages[1].image.data]
    assert next(generate()).started.seed != seed


def test_version_may_be_named(image_server: ServerProcess, generate: Any) -> None:
    found = data(generate(model_version="1", samples=samples(7), format=RAW))
    assert found == over_rest(image_server, "faces/versions/1", seed=7)
    assert found != data(generate(samples=samples(7), format=RAW))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "PNG"),
        ({"format": pb.IMAGE_FORMAT_PNG}, "PNG"),
        ({"format": pb.IMAGE_FORMAT_WEBP}, "WEBP"),
    ],
)
def test_files_without_loss_have_the_very_pixels(
    generate: Any, fields: dict[str, Any], kind: str
) -> None:
    files = data(generate(samples=samples(7, 3), **fields))
    for file, pixels in zip(files, data(generate(samples=samples(7, 3), format=RAW)), strict=True):
        with Image.open(io.BytesIO(file)) as image:
            assert image.format == kind
            assert np.asarray(image.convert("RGB")).tobytes() == pixels


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_lossy_files_are_those_of_rest(
    image_server: ServerProcess, generate: Any, name: str
) -> None:
    kind = pb.ImageFormat.Value(f"IMAGE_FORMAT_{name.upper()}")
    (file,) = data(generate(samples=samples(7), format=kind, quality=40))
    answer = image_server.request("GET", f"/v1/images/faces?seed=7&format={name}&quality=40")
    assert file == answer.body


MISSING = pb.LatentSum(terms=[pb.LatentTerm(weight=1)])
UNEVEN = pb.LatentList(latents=[pb.Latent(values=[0] * LATENT), pb.Latent(values=[0])])


@pytest.mark.parametrize(
    ("fields", "code", "complaint"),
    [
        ({"model_name": "plus"}, "UNIMPLEMENTED", "'plus' does not make pictures"),
        ({"model_name": "faces.critic"}, "UNIMPLEMENTED", "does not make pictures"),
        ({"model_name": "absent"}, "NOT_FOUND", "absent"),
        ({"model_version": "9"}, "NOT_FOUND", "9"),
        (
            {"samples": samples(0, 0)},
            "INVALID_ARGUMENT",
            "^number of pictures: expected 1 to 1000000, got 0",
        ),
        ({"samples": samples(0, 1_000_001)}, "INVALID_ARGUMENT", "1 to 1000000, got 1000001"),
        ({"samples": samples(0, 2**64 - 1)}, "INVALID_ARGUMENT", "1 to 1000000, got"),
        ({"samples": samples(0, 2, 2**32 - 1)}, "INVALID_ARGUMENT", "^index: .*beyond 4294967295"),
        ({"samples": samples(2**63)}, "INVALID_ARGUMENT", "^seed: .*got 9223372036854775808"),
        ({"seeds": pb.SeedList()}, "INVALID_ARGUMENT", "seeds: .*got 0"),
        ({"seeds": pb.SeedList(seeds=[1, 2**64 - 1])}, "INVALID_ARGUMENT", "^seed"),
        ({"latents": pb.LatentList()}, "INVALID_ARGUMENT", "^latents is empty"),
        ({"latents": UNEVEN}, "INVALID_ARGUMENT", r"^latents\[1\] has 1 values, expected 8"),
        (
            {"latents": pb.LatentList(latents=[pb.Latent(values=[0, 1])])},
            "INVALID_ARGUMENT",
            r"^z: expected shape \[pictures, 8\], got \[1, 2\]",
        ),
        (
            {"latents": pb.LatentList(latents=[pb.Latent(values=[float("nan")] * LATENT)])},
            "INVALID_ARGUMENT",
            "^z: expected finite float32 numbers, got nan",
        ),
        ({"interpolation": pb.LatentPath(points=[point(1)])}, "INVALID_ARGUMENT", "points.*got 1"),
        (
            {"interpolation": pb.LatentPath(points=[point(1), point(2)], frames=1)},
            "INVALID_ARGUMENT",
            r"^frames: expected 2 \(one a point\) to 1024, got 1",
        ),
        ({"arithmetic": pb.LatentSum()}, "INVALID_ARGUMENT", "arithmetic.*got 0"),
        ({"arithmetic": MISSING}, "INVALID_ARGUMENT", r"^arithmetic: terms\[0\] has no point"),
        (
            {
                "arithmetic": pb.LatentSum(
                    terms=[pb.LatentTerm(weight=float("inf"), point=point(1))]
                )
            },
            "INVALID_ARGUMENT",
            "^arithmetic: expected finite weights, got inf",
        ),
        ({"truncation": 0.0}, "INVALID_ARGUMENT", "^truncation: expected a number above 0, got 0"),
        ({"truncation": float("nan")}, "INVALID_ARGUMENT", "^truncation.*got nan"),
        ({"class_name": "two"}, "INVALID_ARGUMENT", "^class: model 'faces' is not told a class"),
        (
            {"model_name": "digits", "class_name": "nine"},
            "INVALID_ARGUMENT",
            "^class: expected zero, one, two or a number below 3, got 'nine'",
        ),
        ({"prompt": "a cat"}, "INVALID_ARGUMENT", "^prompt: model 'faces' takes no prompts"),
        (
            {"model_name": "words", "prompt": "a green cat"},
            "INVALID_ARGUMENT",
            "^prompt: unknown word 'green'; this model knows a, red",
        ),
        (
            {"directions": {"taller": 1.0}},
            "INVALID_ARGUMENT",
            "^direction: .*'taller'; it has older",
        ),
        (
            {"directions": {"older": float("inf")}},
            "INVALID_ARGUMENT",
            "^strength of direction 'older'.*got inf",
        ),
        ({"format": 9}, "INVALID_ARGUMENT", "^format: expected one of .*, got 9"),
        ({"quality": 80}, "INVALID_ARGUMENT", "^quality: got 80 with the format png"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    generate: Any, fields: dict[str, Any], code: str, complaint: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(generate(**fields))
    assert caught.value.code().name == code
    assert re.search(complaint, str(caught.value.details()))


def test_critique_says_what_rest_says(
    image_server: ServerProcess, generate: Any, critique: Any
) -> None:
    files = data(generate(samples=samples(7, 3)))
    response = critique(*files, id="call")
    assert (response.model_name, response.model_version, response.id) == ("faces", "2", "call")
    body = json.dumps({"images": [base64.b64encode(file).decode() for file in files]})
    answer = image_server.request(
        "POST", "/v1/images/faces/critique", body, {"content-type": "application/json"}
    )
    told = [np.float32(result["probability"]) for result in answer.json()["results"]]
    assert [np.float32(one) for one in response.probabilities] == told
    assert len(set(told)) == 3


def test_critic_is_told_the_class_or_the_prompt(generate: Any, critique: Any) -> None:
    (digit,) = data(generate(model_name="digits", samples=samples(7)))
    by_class = [
        critique(digit, model_name="digits", class_name=name).probabilities[0] for name in CLASSES
    ]
    assert len(set(by_class)) == len(CLASSES)
    (animal,) = data(generate(model_name="words", samples=samples(7)))
    own, same, other = (
        critique(animal, model_name="words", **said).probabilities[0]
        for said in ({}, {"prompt": "a cat"}, {"prompt": "a red dog"})
    )
    assert own == same != other


@pytest.mark.parametrize(
    ("files", "fields", "code", "complaint"),
    [
        ((), {}, "INVALID_ARGUMENT", "^0 images"),
        ((b"text",), {}, "INVALID_ARGUMENT", "not an image"),
        (None, {"model_name": "blind"}, "UNIMPLEMENTED", "'blind' has no discriminator"),
        (None, {"model_name": "plus"}, "UNIMPLEMENTED", "'plus' does not make pictures"),
        (None, {"model_name": "digits"}, "INVALID_ARGUMENT", "^class: expected one of zero"),
        (None, {"class_name": "two"}, "INVALID_ARGUMENT", "^class"),
        (None, {"prompt": "a cat"}, "INVALID_ARGUMENT", "^prompt"),
    ],
)
def test_critique_that_cannot_be_is_refused_by_its_name(
    generate: Any,
    critique: Any,
    files: tuple[bytes, ...] | None,
    fields: dict[str, Any],
    code: str,
    complaint: str,
) -> None:
    if files is None:
        files = tuple(data(generate(samples=samples(7))))
    with pytest.raises(grpc.RpcError) as caught:
        critique(*files, **fields)
    assert caught.value.code().name == code
    assert re.search(complaint, str(caught.value.details()))
