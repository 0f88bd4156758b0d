"""Captions through the service: real graphs and schedulers, a tiny captioner."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving.caption_types import (
    Caption,
    CaptionOptions,
    CaptionPiece,
    CaptionRequest,
    Frame,
    VideoRequest,
    collect_captions,
)
from serving.decoder import OnnxDecoder
from serving.effective_config import BatchingDefaults
from serving.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelNotFound,
    NotSupported,
    QueueFull,
    ShuttingDown,
)
from serving.generation_types import FinishReason, GenerateRequest
from serving.metrics import Metrics
from serving.repository import ModelRepository
from serving.service import InferenceService
from serving.settings import GenerationSettings
from serving.tasks.caption_answer import Captions
from serving.types import ClassifyRequest, Datatype, InferRequest, Tensor
from tests.caption_models import (
    END,
    GRID,
    HIDDEN_SYMBOLS,
    VOCABULARY,
    make_caption_model,
    photo,
    photo_pixels,
)
from tests.caption_reference import CaptionReference
from tests.serving_parts import infer_request, make_engines, running_service
from tests.text_models import make_text_model
from tests.videos import animation

NEAR = 1e-4
"""Nats, of a whole caption: float32 sums of the graphs against those of the reference."""


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Repositories of one model each: a captioner with attention, one without, a text model."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("captioner", "plain", "poet")}
    make_caption_model(folders["captioner"] / "captioner", goldens=False)
    make_caption_model(folders["plain"] / "plain", goldens=False, attention=False, seed=1)
    make_text_model(folders["poet"] / "poet", goldens=False)
    return folders


@pytest.fixture(scope="module")
def root(roots: Mapping[str, Path]) -> Path:
    """The captioner's."""
    return roots["captioner"]


@dataclass
class Serving:
    """A service over the models, and what its metrics say."""

    service: InferenceService
    repository: ModelRepository
    metrics: Metrics

    async def start(self, *photos: int, model: str = "captioner", **options: Any) -> Captions:
        request = CaptionRequest(
            model_name=model,
            images=tuple(photo(seed) for seed in photos),
            options=CaptionOptions(**options),
        )
        answer = await self.service.caption(request)
        assert isinstance(answer, Captions)
        return answer

    async def captions(self, *photos: int, **options: Any) -> tuple[tuple[Caption, ...], ...]:
        return (await collect_captions(await self.start(*photos, **options))).results

    def sample(self, name: str, model: str = "captioner", **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(
            f"quartet_{name}", {"model": model, "version": "1", **labels}
        )
        return 0.0 if value is None else value

    async def idle(self) -> None:
        await self.service.drained()
        await self.repository.drain()


@pytest.fixture
async def serving(
    roots: Mapping[str, Path], request: pytest.FixtureRequest
) -> AsyncIterator[Serving]:
    """Of the captioner, or of the repository that a test names."""
    engines = make_engines(
        defaults=BatchingDefaults(max_batch_size=8, max_queue_rows=128),
        generation=GenerationSettings(slots=16),
    )
    root = roots[getattr(request, "param", "captioner")]
    with running_service(root, engines=engines) as made:
        await made[1].load_all()
        yield Serving(*made)


# --- against a reference that knows no scheduler ---


@pytest.fixture(scope="module")
def reference(roots: Mapping[str, Path]) -> Callable[[str], CaptionReference]:
    return lambda model: CaptionReference(roots[model] / model / "1")


@pytest.mark.parametrize(
    ("serving", "model"), [("captioner", "captioner"), ("plain", "plain")], indirect=["serving"]
)
@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({"captions": 3}, {"width": 3, "n": 3}),
        ({"captions": 2, "beam_width": 5}, {"width": 5, "n": 2}),
        (
            {"beam_width": 2, "min_tokens": 5, "max_tokens": 7, "length_penalty": 0.3},
            {"width": 2, "n": 1, "least": 5, "most": 7, "penalty": 0.3},
        ),
        ({"beam_width": 1}, {"width": 1, "n": 1}),
    ],
)
async def test_captions_are_those_of_a_plain_search(
    serving: Serving,
    reference: Callable[[str], CaptionReference],
    model: str,
    options: dict[str, Any],
    rules: dict[str, Any],
) -> None:
    alone = reference(model)
    found = await serving.captions(1, 2, 3, model=model, **options)
    for seed, captions in zip((1, 2, 3), found, strict=True):
        expected = alone.search(seed, **rules)
        assert [caption.text for caption in captions] == [text for text, _ in expected]
        np.testing.assert_allclose(
            [caption.log_probability for caption in captions],
            [total for _, total in expected],
            atol=NEAR,
        )


async def test_pictures_differ_in_what_is_said_of_them(serving: Serving) -> None:
    found = await serving.captions(*range(6))
    assert len({captions[0].text for captions in found}) > 1


async def test_a_width_of_1_is_what_temperature_0_writes(serving: Serving) -> None:
    assert await serving.captions(1, 2, beam_width=1) == await serving.captions(
        1, 2, temperature=0.0
    )


async def test_attention_is_that_of_each_word_and_adds_up_to_1(
    serving: Serving, reference: Callable[[str], CaptionReference]
) -> None:
    alone = reference("captioner")
    for options in ({"captions": 2}, {"temperature": 1.0, "seed": 1}, {"beam_width": 1}):
        for caption in (await serving.captions(4, attention=True, **options))[0]:
            state, symbol = alone.start(4), 0
            for word in caption.words:
                _, looked, state = alone.read(symbol, state)
                symbol = VOCABULARY.index(word.text)
                assert word.attention is not None
                assert looked is not None
                assert word.attention.shape == GRID
                assert word.attention.sum() == pytest.approx(1.0, abs=1e-6)
                np.testing.assert_allclose(word.attention.ravel(), looked, atol=1e-6)


async def test_attention_comes_only_where_it_was_asked_for(serving: Serving) -> None:
    (captions,) = await serving.captions(1, captions=2)
    assert all(word.attention is None for caption in captions for word in caption.words)


@pytest.mark.parametrize("serving", ["plain"], indirect=True)
async def test_attention_of_a_network_without_one_is_refused(serving: Serving) -> None:
    with pytest.raises(InvalidInput, match="attention: model 'plain' has none"):
        await serving.start(1, model="plain", attention=True)


@pytest.mark.parametrize("options", [{"captions": 3}, {"temperature": 1.0, "seed": 5}])
async def test_every_caption_begins_with_the_beginning_and_its_scores(
    serving: Serving, reference: Callable[[str], CaptionReference], options: dict[str, Any]
) -> None:
    found = await serving.captions(
        1, beginning="The dog", attention=True, min_tokens=4, max_tokens=9, **options
    )
    alone = reference("captioner")
    first, look, state = alone.read(0, alone.start(1))
    second, _, _ = alone.read(VOCABULARY.index("the"), state)
    scores = [first[VOCABULARY.index("the")], second[VOCABULARY.index("dog")]]
    assert look is not None
    for caption in found[0]:
        assert [word.text for word in caption.words[:2]] == ["the", "dog"]
        assert 4 <= len(caption.words) <= 9
        assert [w.log_probability for w in caption.words[:2]] == pytest.approx(scores, abs=NEAR)
        assert caption.words[0].attention is not None
        np.testing.assert_allclose(caption.words[0].attention.ravel(), look, atol=1e-6)


async def test_lengths_are_kept_to(serving: Serving) -> None:
    for options in ({"captions": 3}, {"temperature": 1.0, "captions": 8, "seed": 2}):
        (captions,) = await serving.captions(2, min_tokens=3, max_tokens=4, **options)
        assert {len(caption.words) for caption in captions} <= {3, 4}
        for caption in captions:
            full = len(caption.words) == 4
            assert (caption.finish_reason is FinishReason.LENGTH) == full


async def test_hidden_symbols_are_in_no_caption_however_wide_the_search(serving: Serving) -> None:
    wide = await serving.captions(1, 2, captions=13, max_tokens=3)
    drawn = await serving.captions(1, 2, captions=13, temperature=100.0, seed=1, max_tokens=9)
    words = {word.text for captions in (*wide, *drawn) for c in captions for word in c.words}
    assert not words & {*HIDDEN_SYMBOLS, END}
    assert all(np.isfinite(caption.log_probability) for found in wide for caption in found)


# --- the same bytes at any load ---


async def test_drawn_captions_repeat_with_their_seed_whatever_else_runs(serving: Serving) -> None:
    options = {"temperature": 1.0, "captions": 4, "seed": 7, "attention": True}
    alone = await serving.captions(1, 2, **options)
    others = [serving.captions(n, 30 + n, captions=1 + n % 4) for n in range(4)]
    others += [serving.captions(40 + n, temperature=0.9, captions=5) for n in range(4)]
    crowded, *_ = await asyncio.gather(serving.captions(1, 2, **options), *others)
    assert _plain(crowded) == _plain(alone)
    assert len({caption.text for found in alone for caption in found}) > 2


async def test_searches_are_the_same_whatever_else_runs(serving: Serving) -> None:
    options = {"captions": 3, "attention": True}
    alone = await serving.captions(3, **options)
    others = [serving.captions(n, n + 1, temperature=1.0, captions=3) for n in range(5)]
    crowded, *_ = await asyncio.gather(serving.captions(3, **options), *others)
    assert _plain(crowded) == _plain(alone)


async def test_the_first_captions_drawn_do_not_depend_on_how_many_there_are(
    serving: Serving,
) -> None:
    few = await serving.captions(1, temperature=1.0, captions=2, seed=3)
    many = await serving.captions(1, temperature=1.0, captions=6, seed=3)
    assert many[0][:2] == few[0]


async def test_an_answer_tells_the_seed_of_what_was_drawn(serving: Serving) -> None:
    answer = await serving.start(1, temperature=1.0)
    assert answer.seed is not None
    first = await collect_captions(answer)
    assert (await serving.captions(1, temperature=1.0, seed=first.seed)) == first.results
    searched = await serving.start(1, seed=4)
    await collect_captions(searched)
    assert searched.seed is None


def _plain(results: tuple[tuple[Caption, ...], ...]) -> list[Any]:
    """With attention as bytes, so that all of it can be compared."""
    return [
        (
            replace(caption, words=()),
            [
                (w.text, w.log_probability, b"" if w.attention is None else w.attention.tobytes())
                for w in caption.words
            ],
        )
        for captions in results
        for caption in captions
    ]


# --- sharing ---


async def test_pictures_of_all_requests_share_batches_and_runs(serving: Serving) -> None:
    one = serving.captions(1, 2, 3, beam_width=1, min_tokens=4, max_tokens=4)
    other = serving.captions(4, 5, temperature=1.0, min_tokens=4, max_tokens=4)
    await asyncio.gather(one, other)
    assert serving.sample("batch_size_count", "captioner.encoder") == 1
    assert serving.sample("batch_size_sum", "captioner.encoder") == 5
    assert serving.sample("generation_run_rows_count", kind="decode") == 1
    assert serving.sample("generation_run_rows_sum", kind="decode") == 5


async def test_beams_of_several_requests_share_runs(serving: Serving) -> None:
    wanted = {"beam_width": 3, "captions": 3, "min_tokens": 3, "max_tokens": 3}
    await asyncio.gather(serving.captions(1, **wanted), serving.captions(2, **wanted))
    # One beam each in the first step, three in the others.
    assert serving.sample("generation_run_rows_count", kind="decode") == 3
    assert serving.sample("generation_run_rows_sum", kind="decode") == 2 + 6 + 6


async def test_the_raw_graphs_are_models_of_tensors(serving: Serving) -> None:
    service = serving.service
    metadata = service.model_metadata("captioner.encoder")
    assert (metadata.versions, metadata.properties["max_batch_size"]) == (("1",), "8")
    assert {output.name for output in metadata.outputs} == {"hidden", "cell", "keys", "values"}
    assert service.model_config("captioner.prefill").default_model_filename == "prefill.onnx"
    assert service.model_ready("captioner.decode")
    pixels = np.stack([photo_pixels(seed) for seed in (1, 2)])
    encoded = await service.infer(infer_request("captioner.encoder", "UINT8", image=pixels))
    assert encoded.model_name == "captioner.encoder"
    assert encoded.outputs["values"].data.shape == (2, 4, 12)
    (stats,) = service.model_statistics("captioner.encoder")
    assert (stats["inference_count"], stats["execution_count"]) == (2, 1)
    assert "captioner" in serving.repository.models
    assert "captioner.encoder" not in serving.repository.models


async def test_a_part_that_is_none_is_not_found(serving: Serving) -> None:
    for name in ("captioner.other", "captioner.", ".encoder", "none.encoder"):
        with pytest.raises(ModelNotFound, match=f"'{name}' is not found"):
            serving.service.model_ready(name)


# --- the end ---


async def test_leaving_stops_the_rows_and_frees_their_slots(serving: Serving) -> None:
    answer = await serving.start(
        *range(8), captions=2, temperature=1.0, min_tokens=40, max_tokens=40
    )
    async for _ in answer:
        break
    assert serving.sample("generation_rows", state="active") > 0
    await answer.aclose()
    await serving.idle()
    assert serving.sample("generation_rows", state="active") == 0
    assert serving.sample("generation_texts_total", reason="cancelled") > 0
    assert serving.sample("requests_total", protocol="http", outcome="cancelled") == 1
    assert [piece async for piece in answer] == []


async def test_cancelling_the_call_before_there_is_an_answer_stops_all(serving: Serving) -> None:
    task = asyncio.ensure_future(serving.start(*range(20), captions=2, temperature=1.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await serving.idle()
    assert serving.sample("generation_rows", state="active") == 0
    assert await serving.captions(1)


async def test_a_bad_picture_fails_the_request_and_is_named(serving: Serving) -> None:
    request = CaptionRequest(model_name="captioner", images=(photo(1), b"no picture"))
    with pytest.raises(InvalidInput, match="image 2 of 2"):
        await serving.service.caption(request)
    await serving.idle()
    assert serving.sample("requests_total", protocol="http", outcome="invalid") == 1


async def test_a_deadline_that_has_passed_is_refused(serving: Serving) -> None:
    request = CaptionRequest(model_name="captioner", images=(photo(1),), deadline=0.0)
    with pytest.raises(DeadlineExceeded):
        await serving.service.caption(request)
    await serving.idle()


async def test_a_fault_of_the_engine_fails_the_request(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(decoder: OnnxDecoder, run: object) -> None:
        raise InferenceFailed("broken")

    monkeypatch.setattr(OnnxDecoder, "execute", broken)
    answer = await serving.start(1, 2)
    with pytest.raises(InferenceFailed, match="broken"):
        await collect_captions(answer)
    await serving.idle()
    assert serving.sample("requests_total", protocol="http", outcome="error") == 1


async def test_too_many_waiting_rows_are_refused_before_the_answer(root: Path) -> None:
    engines = make_engines(generation=GenerationSettings(slots=2, max_waiting_rows=6))
    with running_service(root, engines=engines) as made:
        serving = Serving(*made)
        await serving.repository.load_all()
        first = await serving.start(1, captions=6, temperature=1.0, min_tokens=40, max_tokens=40)
        with pytest.raises(QueueFull):
            await serving.start(2, captions=6, temperature=1.0)
        with pytest.raises(InvalidInput, match="1 with 7 captions or beams each are 7 rows"):
            await serving.start(3, captions=7, temperature=1.0)
        await first.aclose()
        await serving.idle()


async def test_pictures_hold_their_places_until_the_answer_has_ended(root: Path) -> None:
    with running_service(root, max_images=2) as made:
        serving = Serving(*made)
        await serving.repository.load_all()
        answer = await serving.start(1, 2)
        with pytest.raises(QueueFull, match="2 pictures are being worked on"):
            await serving.start(3)
        await collect_captions(answer)
        assert await serving.captions(3)
        await serving.idle()


async def test_closing_fails_what_waits(serving: Serving) -> None:
    answer = await serving.start(1, temperature=1.0, min_tokens=40, max_tokens=40, captions=20)
    serving.service.close()
    with pytest.raises(ShuttingDown):
        await collect_captions(answer)
    with pytest.raises(ShuttingDown):
        await serving.start(1)
    await serving.idle()


# --- other models, other calls ---


@pytest.mark.parametrize("serving", ["poet"], indirect=True)
async def test_a_model_that_writes_text_captions_nothing(serving: Serving) -> None:
    with pytest.raises(NotSupported, match=r"'poet' does not caption .* is text_generation"):
        await serving.start(1, model="poet")


async def test_a_raw_graph_captions_nothing(serving: Serving) -> None:
    with pytest.raises(NotSupported, match=r"'captioner\.decode' does not caption"):
        await serving.start(1, model="captioner.decode")


async def test_a_captioner_refuses_what_it_is_not_for(serving: Serving) -> None:
    service = serving.service
    with pytest.raises(NotSupported, match=r"'captioner' does not write text: .*image_captioning"):
        await service.generate(GenerateRequest(model_name="captioner"))
    with pytest.raises(NotSupported, match=r"'captioner' does not classify .*image_captioning"):
        await service.classify(ClassifyRequest(model_name="captioner", images=(photo(1),), top_k=1))
    assert not service.is_decoupled("captioner")


async def test_captions_under_the_inference_protocol(serving: Serving) -> None:
    files = np.empty(2, np.object_)
    files[:] = [photo(1), photo(2)]
    request = InferRequest(
        model_name="captioner",
        inputs={"image": Tensor(Datatype.BYTES, files)},
        parameters={"captions": 2},
    )
    response = await serving.service.infer(request)
    found = await serving.captions(1, 2, captions=2)
    texts = [caption.text.encode() for captions in found for caption in captions]
    assert response.outputs["caption"].data.tolist() == texts
    streamed = [part async for part in serving.service.stream_infer(request)]
    assert [part.outputs["caption"].data.tolist() for part in streamed] == [texts]
    assert serving.sample("requests_total", protocol="http", outcome="ok") == 3


async def test_words_of_a_width_of_1_come_before_the_caption_is_over(serving: Serving) -> None:
    answer = await serving.start(1, beam_width=1, min_tokens=40, max_tokens=40)
    pieces: list[CaptionPiece] = []
    while not pieces or pieces[-1].whole is None:
        pieces.append(await anext(aiter(answer)))
        if len(pieces) == 1:
            assert serving.sample("generation_rows", state="active") == 1
    assert len(pieces) == 41
    await answer.aclose()


# --- videos ---


def still(seed: int) -> Image.Image:
    return Image.open(io.BytesIO(photo(seed))).resize((32, 32), Image.Resampling.NEAREST)


async def test_each_scene_of_a_video_is_captioned(serving: Serving) -> None:
    video = animation([still(1)] * 5 + [still(2)] * 5, "PNG", ms=500)
    response = await serving.service.caption_video(
        VideoRequest(model_name="captioner", video=video, options=CaptionOptions(captions=2))
    )
    assert response.duration_s == pytest.approx(5.0)
    assert [(s.start_s, s.end_s) for s in response.scenes] == [(0.0, 2.5), (2.5, 5.0)]
    frames = tuple(
        Frame(scene.frame_s, _png(still(n))) for n, scene in enumerate(response.scenes, 1)
    )
    request = CaptionRequest(
        model_name="captioner",
        images=tuple(frame.data for frame in frames),
        options=CaptionOptions(captions=2),
    )
    photos = await collect_captions(await serving.service.caption(request))
    assert tuple(scene.captions for scene in response.scenes) == photos.results
    listed = await serving.service.caption_video(
        VideoRequest(model_name="captioner", frames=frames, options=CaptionOptions(captions=2))
    )
    assert listed.frames == 2
    assert tuple(scene.captions for scene in listed.scenes) == photos.results
    await serving.idle()


async def test_a_video_is_a_file_or_frames(serving: Serving) -> None:
    for request in (
        VideoRequest(model_name="captioner"),
        VideoRequest(model_name="captioner", video=b"GIF", frames=(Frame(0.0, photo(1)),)),
    ):
        with pytest.raises(InvalidInput, match="video: expected a file or frames"):
            await serving.service.caption_video(request)
    with pytest.raises(InvalidInput, match="captions: expected 1 to 32"):
        await serving.service.caption_video(
            VideoRequest(model_name="captioner", video=b"no", options=CaptionOptions(captions=0))
        )


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
