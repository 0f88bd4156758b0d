"""Pictures through the service: real graphs and batchers, tiny generators."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from PIL import Image

from quartet.latents import latents
from serving.effective_config import BatchingDefaults
from serving.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelNotFound,
    NotSupported,
    QueueFull,
    ServingError,
    ShuttingDown,
)
from serving.generation_types import GenerateRequest
from serving.image_types import (
    Arithmetic,
    CritiqueRequest,
    GeneratedImage,
    GivenLatents,
    ImageAnswer,
    ImageOptions,
    ImageRequest,
    Interpolation,
    LatentPoint,
    LatentSource,
    Samples,
    SeedList,
)
from serving.metrics import Metrics
from serving.repository import ModelRepository
from serving.service import InferenceService
from serving.settings import ImageGenerationSettings
from serving.tasks.image_plan import drawn_classes
from serving.types import Array, ClassifyRequest, Datatype, InferRequest, Tensor
from tests.image_models import CLASSES, LATENT, SIDE, expected_pictures, make_image_model
from tests.serving_parts import infer_request, make_engines, running_service

Pixels = npt.NDArray[np.uint8]
SETTINGS = ImageGenerationSettings(max_images_http=40, max_images_grpc=300, max_frames=20)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generators of every condition, and one without a critic."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("none", "class", "prompt")):
        make_image_model(folder / name, condition=name, seed=10 * seed, goldens=False)
    make_image_model(folder / "grey", mode="L", critic=False, goldens=False)
    return folder


@dataclass
class Serving:
    """A service over the models, and what its metrics say."""

    service: InferenceService
    repository: ModelRepository
    metrics: Metrics
    root: Path

    async def start(
        self, source: LatentSource, model: str = "none", protocol: str = "http", **options: Any
    ) -> ImageAnswer:
        return await self.service.generate_images(
            ImageRequest(
                model_name=model,
                source=source,
                options=ImageOptions(**options),
                protocol=protocol,
            )
        )

    async def images(self, source: LatentSource, **wanted: Any) -> list[GeneratedImage]:
        return [image async for image in await self.start(source, **wanted)]

    async def pixels(self, source: LatentSource, **wanted: Any) -> Pixels:
        return np.stack([image.pixels for image in await self.images(source, **wanted)])

    def expected(self, z: Array, condition: Array | None = None, model: str = "none") -> Pixels:
        return expected_pictures(self.root / model / "1", z, condition)

    def sample(self, name: str, model: str = "none", **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(
            f"quartet_{name}", {"model": model, "version": "1", **labels}
        )
        return 0.0 if value is None else value

    def outcomes(self, outcome: str, model: str = "none", protocol: str = "http") -> float:
        return self.sample("requests_total", model, protocol=protocol, outcome=outcome)


@pytest.fixture
async def serving(root: Path) -> AsyncIterator[Serving]:
    engines = make_engines(
        threads=2, defaults=BatchingDefaults(max_batch_size=4, max_queue_rows=64)
    )
    with running_service(root, engines=engines, images=SETTINGS) as made:
        await made[1].load_all()
        yield Serving(*made, root)


def points(seeds: list[int], indices: list[int]) -> Array:
    return latents(np.array(seeds, np.uint64), np.array(indices), LATENT)


# --- pictures ---


async def test_samples_are_the_pictures_of_their_points(serving: Serving) -> None:
    answer = await serving.start(Samples(seed=7, count=11, first=2))
    images = [image async for image in answer]
    expected = serving.expected(points([7] * 11, list(range(2, 13))))
    assert np.array_equal(np.stack([image.pixels for image in images]), expected)
    assert [image.number for image in images] == list(range(11))
    assert [image.point for image in images] == [LatentPoint(7, i) for i in range(2, 13)]
    assert (answer.model_name, answer.model_version, answer.seed) == ("none", "1", 7)
    assert (answer.count, answer.height, answer.width, answer.channels) == (11, SIDE, SIDE, 3)
    assert answer.fingerprint == serving.repository.get("none").properties["fingerprint"]


async def test_sixteen_of_one_call_are_those_of_sixteen_calls_at_once(serving: Serving) -> None:
    together = await serving.pixels(Samples(seed=3, count=16))
    alone = await asyncio.gather(
        *(serving.pixels(Samples(seed=3, count=1, first=index)) for index in range(16))
    )
    assert np.array_equal(together, np.concatenate(alone))


async def test_seeds_and_given_noise_give_the_same_pictures(serving: Serving) -> None:
    z = points([4, 9, 4], [1, 1, 1])
    expected = serving.expected(z)
    assert np.array_equal(await serving.pixels(SeedList((4, 9, 4), index=1)), expected)
    assert np.array_equal(await serving.pixels(GivenLatents(z)), expected)


async def test_a_way_passes_its_points(serving: Serving) -> None:
    way = Interpolation((LatentPoint(1), LatentPoint(2), LatentPoint(3, 4)), frames=9)
    pixels = await serving.pixels(way)
    assert len(pixels) == 9
    assert np.array_equal(pixels[::4], serving.expected(points([1, 2, 3], [0, 0, 4])))


async def test_arithmetic_is_one_picture(serving: Serving) -> None:
    z = points([7, 12, 31], [0, 0, 0])
    sum_of_three = ((z[0].astype(np.float64) - z[1] + z[2]) / np.sqrt(3)).astype(np.float32)
    terms = ((1.0, LatentPoint(7)), (-1.0, LatentPoint(12)), (1.0, LatentPoint(31)))
    pixels = await serving.pixels(Arithmetic(terms))
    # The order of the float64 sum may change the last bit of z, and so a level of a pixel.
    assert np.abs(pixels.astype(int) - serving.expected(sum_of_three[None])).max() <= 1


async def test_directions_change_a_picture(serving: Serving) -> None:
    plain = await serving.pixels(Samples(seed=1))
    older = await serving.pixels(Samples(seed=1), directions={"older": 1.0})
    assert not np.array_equal(older, plain)
    assert np.array_equal(await serving.pixels(Samples(seed=1), directions={"older": 0.0}), plain)


async def test_classes_are_drawn_or_chosen(serving: Serving) -> None:
    z = points([5] * 6, list(range(6)))
    drawn = drawn_classes((np.full(6, 5, np.uint64), np.arange(6)), LATENT, len(CLASSES))
    images = await serving.images(Samples(seed=5, count=6), model="class")
    assert [image.class_name for image in images] == [CLASSES[number] for number in drawn]
    pixels = np.stack([image.pixels for image in images])
    assert np.array_equal(pixels, serving.expected(z, drawn, "class"))
    chosen = await serving.pixels(Samples(seed=5, count=6), model="class", class_name="two")
    assert np.array_equal(chosen, serving.expected(z, np.full(6, 2), "class"))


async def test_a_prompt_decides_what_is_shown(serving: Serving) -> None:
    answer = await serving.start(Samples(seed=5), model="prompt", prompt="a blue dog")
    pixels = np.stack([image.pixels async for image in answer])
    words = np.array([[1, 3, 5, 0]])
    assert answer.prompt == "a blue dog"
    assert np.array_equal(pixels, serving.expected(points([5], [0]), words, "prompt"))


async def test_a_drawn_seed_is_told_and_can_be_asked_for(serving: Serving) -> None:
    answer = await serving.start(Samples(count=2))
    pixels = np.stack([image.pixels async for image in answer])
    assert answer.seed is not None
    assert np.array_equal(await serving.pixels(Samples(seed=answer.seed, count=2)), pixels)


async def test_grey_pictures_have_one_channel(serving: Serving) -> None:
    assert (await serving.pixels(Samples(seed=1), model="grey")).shape == (1, SIDE, SIDE, 1)


# --- the same graphs as models of tensors ---


async def test_tensors_and_samples_give_the_same_pictures(serving: Serving) -> None:
    z = points([3] * 4, list(range(4)))
    request = infer_request("none", z=z)
    (response, pixels) = await asyncio.gather(
        serving.service.infer(request), serving.pixels(Samples(seed=3, count=4))
    )
    assert response.outputs["image"].datatype is Datatype.UINT8
    assert np.array_equal(response.outputs["image"].data, pixels)


async def test_a_conditional_generator_takes_its_condition_as_a_tensor(serving: Serving) -> None:
    z = points([3], [0])
    request = InferRequest(
        model_name="class",
        inputs={
            "z": Tensor(Datatype.FP32, z),
            "label": Tensor(Datatype.INT64, np.array([1], np.int64)),
        },
    )
    response = await serving.service.infer(request)
    expected = serving.expected(z, np.array([1]), "class")
    assert np.array_equal(response.outputs["image"].data, expected)


async def test_the_critic_is_a_model_of_tensors(serving: Serving) -> None:
    pixels = await serving.pixels(Samples(seed=2, count=3))
    response = await serving.service.infer(infer_request("none.critic", "UINT8", image=pixels))
    expected = critic(serving, "none", {"image": pixels})
    assert np.array_equal(response.outputs["probability"].data, expected)
    metadata = serving.service.model_metadata("none.critic")
    assert [spec.name for spec in metadata.inputs] == ["image"]
    assert "none.critic" not in [model.name for model in serving.repository.ready_models()]


# --- critique ---


def critic(serving: Serving, model: str, inputs: Mapping[str, Array]) -> Array:
    """What the discriminator says, without any server."""
    session = ort.InferenceSession(
        serving.root / model / "1" / "critic.onnx", providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, dict(inputs))[0])


def png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


async def test_generated_pictures_are_judged_as_they_are(serving: Serving) -> None:
    pixels = await serving.pixels(Samples(seed=2, count=9))
    response = await serving.service.critique(
        CritiqueRequest(model_name="none", images=tuple(map(png, pixels)))
    )
    assert (response.model_name, response.model_version) == ("none", "1")
    expected = critic(serving, "none", {"image": pixels})
    np.testing.assert_array_equal(np.array(response.probabilities, np.float32), expected)
    assert serving.outcomes("ok") == 2


async def test_pictures_of_other_sizes_are_cut_and_resized(serving: Serving) -> None:
    large = np.zeros((4 * SIDE, 8 * SIDE, 3), np.uint8)
    # The filter looks a little beyond the square that is cut, but not as far as the dark edges.
    large[:, SIDE : 7 * SIDE] = 200
    response = await serving.service.critique(
        CritiqueRequest(model_name="none", images=(png(large),))
    )
    cut = np.full((1, SIDE, SIDE, 3), 200, np.uint8)
    expected = critic(serving, "none", {"image": cut})
    np.testing.assert_array_equal(np.array(response.probabilities, np.float32), expected)


@pytest.mark.parametrize(
    ("model", "said", "row"),
    [
        ("class", {"class_name": "one"}, {"label": 1}),
        ("prompt", {"prompt": "red dog"}, {"words": [2, 5, 0, 0]}),
        ("prompt", {}, {"words": [1, 4, 0, 0]}),
    ],
)
async def test_a_critic_is_told_what_is_said_of_pictures(
    serving: Serving, model: str, said: dict[str, Any], row: dict[str, Any]
) -> None:
    pixels = await serving.pixels(Samples(seed=2, count=5))
    response = await serving.service.critique(
        CritiqueRequest(model_name=model, images=tuple(map(png, pixels)), **said)
    )
    rows = {name: np.array([value] * 5, np.int64) for name, value in row.items()}
    expected = critic(serving, model, {"image": pixels, **rows})
    np.testing.assert_array_equal(np.array(response.probabilities, np.float32), expected)


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        ({"model_name": "grey"}, NotSupported, "model 'grey' has no discriminator"),
        ({"model_name": "none", "images": ()}, InvalidInput, "images: expected 1 to 64, got 0"),
        ({"model_name": "none", "images": (b"no",)}, InvalidInput, "image"),
        ({"model_name": "class"}, InvalidInput, "class: expected one of zero, one, two, got none"),
        ({"model_name": "none", "class_name": "1"}, InvalidInput, "is not told a class"),
        ({"model_name": "prompt", "prompt": "x"}, InvalidInput, "prompt: unknown word 'x'"),
        ({"model_name": "nobody"}, ModelNotFound, "nobody"),
    ],
)
async def test_a_critique_that_cannot_be_is_refused(
    serving: Serving, request_: dict[str, Any], error: type[ServingError], text: str
) -> None:
    picture = png(np.zeros((SIDE, SIDE, 3), np.uint8))
    with pytest.raises(error) as caught:
        await serving.service.critique(CritiqueRequest(**{"images": (picture,), **request_}))
    assert text in caught.value.message
    await serving.service.drained()


# --- refusals ---


@pytest.mark.parametrize(
    ("wanted", "error", "text"),
    [
        ({"source": Samples(count=41)}, InvalidInput, "expected 1 to 40, got 41"),
        (
            {"source": Samples(count=301), "protocol": "grpc"},
            InvalidInput,
            "expected 1 to 300, got 301",
        ),
        (
            {"source": Interpolation((LatentPoint(1), LatentPoint(2)), frames=21)},
            InvalidInput,
            "frames: expected 2 (one a point) to 20, got 21",
        ),
        ({"source": Samples(), "prompt": "a cat"}, InvalidInput, "takes no prompts"),
        ({"source": Samples(), "model": "nobody"}, ModelNotFound, "nobody"),
        (
            {"source": Samples(), "model": "none.critic"},
            NotSupported,
            "model 'none.critic' does not make pictures: its task is not declared, expected",
        ),
    ],
)
async def test_what_can_be_refused_is_refused_at_once(
    serving: Serving, wanted: dict[str, Any], error: type[ServingError], text: str
) -> None:
    with pytest.raises(error) as caught:
        await serving.start(**wanted)
    assert text in caught.value.message
    assert caught.value.counted
    await serving.service.drained()


async def test_streams_may_ask_for_more(serving: Serving) -> None:
    images = await serving.images(Samples(seed=1, count=45), protocol="grpc")
    assert len(images) == 45
    assert serving.outcomes("ok", protocol="grpc") == 1


async def test_a_generator_of_pictures_does_nothing_else(serving: Serving) -> None:
    picture = png(np.zeros((SIDE, SIDE, 3), np.uint8))
    with pytest.raises(NotSupported, match="does not classify pictures: its task is image_gen"):
        await serving.service.classify(ClassifyRequest(model_name="none", images=(picture,)))
    with pytest.raises(NotSupported, match="does not write text: its task is image_generation"):
        await serving.service.generate(GenerateRequest(model_name="none"))


# --- life and accounting ---


async def test_pictures_and_requests_are_counted(serving: Serving) -> None:
    await serving.pixels(Samples(seed=1, count=10))
    assert serving.sample("images_generated_total") == 10
    assert serving.sample("images_in_flight") == 0
    assert serving.sample("images_generated_total", "class") == 0
    assert serving.outcomes("ok") == 1
    (statistics,) = serving.service.model_statistics("none")
    assert statistics["inference_stats"]["success"]["count"] == 1
    assert statistics["inference_count"] == 10
    assert statistics["execution_count"] == 3


async def test_an_answer_is_in_flight_until_it_is_read_or_closed(serving: Serving) -> None:
    answer = await serving.start(Samples(seed=1, count=30))
    drained = asyncio.ensure_future(serving.service.drained())
    await anext(aiter(answer))
    await asyncio.sleep(0)
    assert not drained.done()
    await answer.aclose()
    await drained
    assert (serving.outcomes("cancelled"), serving.outcomes("ok")) == (1, 0)
    assert serving.sample("images_in_flight") == 0
    await serving.repository.drain()


async def test_a_server_that_drains_finishes_answers_and_takes_no_more(serving: Serving) -> None:
    answer = await serving.start(Samples(seed=1, count=30))
    serving.service.refuse_new()
    with pytest.raises(ShuttingDown):
        await serving.start(Samples(seed=1))
    assert len([image async for image in answer]) == 30
    await serving.service.drained()


async def test_a_server_that_closes_ends_answers(serving: Serving) -> None:
    answer = await serving.start(Samples(seed=1, count=40))
    serving.service.close()
    with pytest.raises(ShuttingDown):
        await read_all(answer)
    await serving.service.drained()


async def test_a_deadline_that_has_passed_is_told_before_the_answer_begins(
    serving: Serving,
) -> None:
    request = ImageRequest(model_name="none", source=Samples(seed=1), deadline=0.0)
    with pytest.raises(DeadlineExceeded):
        await serving.service.generate_images(request)
    assert serving.outcomes("deadline") == 1


async def test_a_full_queue_refuses_before_the_answer_begins(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise QueueFull("full", retry_after_s=1.0)

    _, scheduler = serving.repository.get("none").tensors()
    monkeypatch.setattr(scheduler, "submit", full)
    with pytest.raises(QueueFull):
        await serving.start(Samples(seed=1, count=30))
    assert serving.outcomes("rejected") == 1
    await serving.service.drained()


async def read_all(answer: ImageAnswer) -> None:
    async for _ in answer:
        pass
