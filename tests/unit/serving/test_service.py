"""Readiness, draining, what each outcome counts as, and classification in parts."""

import asyncio
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    NotSupported,
    QueueFull,
    ServingError,
    ShuttingDown,
)
from serving.metrics import Metrics
from serving.repository import ModelRepository
from serving.scheduler import Finished, Work
from serving.service import InferenceService
from serving.types import ClassifyRequest, ClassifyResponse, InferRequest, Timings
from tests.e2e.graphs import brightness, fixed, identity, look_up, plus, write_model
from tests.serving_parts import infer_request, running_service

Parts = tuple[InferenceService, ModelRepository, Metrics]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_model(tmp_path, "plus", plus(1))
    return tmp_path


@pytest.fixture
async def parts(root: Path) -> Iterator[Parts]:  # type: ignore[misc]  # pytest-asyncio runs it as a generator
    with running_service(root) as made:
        await made[1].load_all()
        yield made


class FakeScheduler:
    """Raises ``error``, or answers once ``release`` is set."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.works: list[Work] = []
        self.release = asyncio.Event()
        self._error = error

    async def submit(self, work: Work) -> Finished:
        self.works.append(work)
        if self._error is not None:
            raise self._error
        await self.release.wait()
        return Finished({"y": work.inputs["x"]}, Timings(batch_rows=work.rows))

    def queued_rows(self) -> int:
        return 0

    def queued_requests(self) -> int:
        return 0

    async def drain(self) -> None:
        return

    def close(self) -> None:
        self.release.set()


def with_scheduler(repository: ModelRepository, scheduler: FakeScheduler) -> None:
    entry = repository.models["plus"].versions[1]
    assert entry.model is not None
    entry.model = replace(entry.model, scheduler=scheduler)


def picture(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), grey).save(buffer, "PNG")
    return buffer.getvalue()


def plus_request(**fields: str) -> InferRequest:
    return replace(infer_request("plus", x=[[1, 2]]), **fields)  # type: ignore[arg-type]  # all fields given are text


def counted(
    metrics: Metrics, outcome: str, *, model: str = "plus", protocol: str = "http"
) -> float:
    version = "1" if model else ""
    labels = {"model": model, "version": version, "protocol": protocol, "outcome": outcome}
    return metrics.registry.get_sample_value("quartet_requests_total", labels) or 0.0


# --- infer ---------------------------------------------------------------------------------------


async def test_infer_answers_with_the_models_outputs(parts: Parts) -> None:
    response = await parts[0].infer(plus_request(id="7"))
    assert (response.model_name, response.model_version, response.id) == ("plus", "1", "7")
    assert response.outputs["y"].data.tolist() == [[2.0, 3.0]]
    assert response.timings.batch_rows == 1


async def test_infer_answers_text_as_bytes(root: Path) -> None:
    write_model(root, "text", identity("BYTES"))
    with running_service(root) as (service, repository, _):
        await repository.load_all()
        sent = np.array([["é".encode(), b"", b"\0x"]], object)
        response = await service.infer(infer_request("text", "BYTES", x=sent))
    assert response.outputs["y"].data.tolist() == sent.tolist()


async def test_infer_joins_requests_that_arrive_together(parts: Parts) -> None:
    responses = await asyncio.gather(*(parts[0].infer(plus_request()) for _ in range(3)))
    assert {response.timings.batch_rows for response in responses} == {3}


async def test_infer_serves_the_model_of_scikit_learn_as_it_predicts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As skl2onnx exports it: its second output is a sequence of maps, which no wire carries."""
    skl2onnx = pytest.importorskip("skl2onnx")
    linear_model = pytest.importorskip("sklearn.linear_model")
    features = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    classes = np.array(["cat", "dog"])[(features[:, 0] > 0).astype(int)]
    classifier = linear_model.LogisticRegression().fit(features, classes)
    folder = tmp_path / "animals" / "1"
    folder.mkdir(parents=True)
    graph = skl2onnx.to_onnx(classifier, features[:1])
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    with running_service(tmp_path) as (service, repository, _):
        await repository.load_all()
        response = await service.infer(infer_request("animals", X=features))
    expected = [label.encode() for label in classifier.predict(features)]
    assert response.outputs["output_label"].data.tolist() == expected
    assert list(response.outputs) == ["output_label"]
    assert "output 'output_probability' is seq(map(string,tensor(float))), not" in caplog.text


# --- outcomes ------------------------------------------------------------------------------------


async def test_outcome_is_ok_when_the_request_is_answered(parts: Parts) -> None:
    service, _, metrics = parts
    await service.infer(plus_request())
    await service.infer(plus_request(protocol="grpc"))
    assert (counted(metrics, "ok"), counted(metrics, "ok", protocol="grpc")) == (1, 1)
    assert b'nv_inference_request_success{model="plus",version="1"} 2' in metrics.render()


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (QueueFull("full"), "rejected", "REJECTED"),
        (DeadlineExceeded("late"), "deadline", "REJECTED"),
        (InferenceFailed("broken"), "error", "BACKEND"),
        (InvalidInput("wrong"), "invalid", "OTHER"),
        (ShuttingDown("closed"), "unavailable", "OTHER"),
        (ZeroDivisionError("bug"), "error", "BACKEND"),
        (asyncio.CancelledError(), "cancelled", "CANCELED"),
    ],
)
async def test_outcome_follows_from_the_error(
    parts: Parts, error: BaseException, outcome: str, reason: str
) -> None:
    service, repository, metrics = parts
    with_scheduler(repository, FakeScheduler(error))
    raised = ServingError if isinstance(error, ZeroDivisionError) else type(error)
    with pytest.raises(raised) as caught:
        await service.infer(plus_request())
    if isinstance(caught.value, ServingError):
        service.count_refused("http", caught.value)  # as the transport does with every error
    assert counted(metrics, outcome) == 1
    assert b'quartet_requests_total{model="",' not in metrics.render()
    row = f'nv_inference_request_failure{{model="plus",version="1",reason="{reason}"}} 1'
    assert row.encode() in metrics.render()


async def test_outcome_is_invalid_when_the_request_does_not_fit_the_model(parts: Parts) -> None:
    service, _, metrics = parts
    with pytest.raises(InvalidInput):
        await service.infer(infer_request("plus", x=[[1, 2, 3]]))
    assert counted(metrics, "invalid") == 1


async def test_outcome_is_error_when_the_engine_fails(root: Path) -> None:
    write_model(root, "look_up", look_up())
    with running_service(root) as (service, repository, metrics):
        await repository.load_all()
        with pytest.raises(InferenceFailed, match="indices element out of data bounds"):
            await service.infer(infer_request("look_up", "INT64", index=[[9]]))
    assert counted(metrics, "error", model="look_up") == 1


async def test_unknown_models_are_counted_without_their_names(parts: Parts) -> None:
    service, _, metrics = parts
    with pytest.raises(ModelNotFound):
        await service.infer(infer_request("made-up", x=[[1, 2]]))
    assert counted(metrics, "not_found", model="") == 1
    assert b"made-up" not in metrics.render()


# --- readiness and the end -----------------------------------------------------------------------


async def test_server_is_alive_but_not_ready_while_models_load(root: Path) -> None:
    with running_service(root) as (service, repository, metrics):
        assert service.live()
        assert (service.ready(), service.why_not_ready()) == (False, "models are loading")
        assert metrics.registry.get_sample_value("quartet_ready") == 0
        await repository.load_all()
        assert (service.ready(), service.why_not_ready()) == (True, "")
        assert metrics.registry.get_sample_value("quartet_ready") == 1


async def test_server_is_ready_when_some_models_failed(root: Path) -> None:
    (write_model(root, "broken", plus(1)) / "model.onnx").write_bytes(b"no model")
    with running_service(root) as (service, repository, _):
        await repository.load_all()
        assert service.ready()
        assert service.model_ready("plus")
        with pytest.raises(ModelNotReady, match="cannot load it"):
            service.model_ready("broken")


@pytest.mark.parametrize("name", ["broken", "absent"])
async def test_server_is_not_ready_when_a_required_model_is_not(root: Path, name: str) -> None:
    (write_model(root, "broken", plus(1)) / "model.onnx").write_bytes(b"no model")
    with running_service(root, required=("plus", name)) as (service, repository, _):
        await repository.load_all()
        assert not service.ready()
        assert service.why_not_ready() == f"required models are not ready: ['{name}']"


async def test_server_is_not_ready_when_every_model_failed(tmp_path: Path) -> None:
    (write_model(tmp_path, "broken", plus(1)) / "model.onnx").write_bytes(b"no model")
    with running_service(tmp_path) as (service, repository, _):
        await repository.load_all()
        assert (service.ready(), service.why_not_ready()) == (False, "no model could be loaded")


async def test_server_is_ready_when_the_repository_is_empty(tmp_path: Path) -> None:
    with running_service(tmp_path) as (service, repository, _):
        await repository.load_all()
        assert service.ready()


async def test_draining_server_is_not_ready_but_serves(parts: Parts) -> None:
    service = parts[0]
    service.start_draining()
    assert (service.live(), service.ready()) == (True, False)
    assert not service.model_ready("plus")
    assert service.why_not_ready() == "the server is shutting down"
    await service.infer(plus_request())


async def test_refuse_new_lets_finish_what_is_in_flight(parts: Parts) -> None:
    service, repository, _ = parts
    scheduler = FakeScheduler()
    with_scheduler(repository, scheduler)
    in_flight = asyncio.create_task(service.infer(plus_request()))
    await asyncio.sleep(0)
    service.refuse_new()
    drained = asyncio.create_task(service.drained())
    with pytest.raises(ShuttingDown, match="stopped accepting new requests"):
        await service.infer(plus_request())
    assert not drained.done()
    scheduler.release.set()
    await drained
    assert (await in_flight).model_name == "plus"


@pytest.mark.parametrize("shape", [(1, 2), (1, 3)])
async def test_count_refused_counts_what_the_service_has_not_counted(
    parts: Parts, shape: tuple[int, ...]
) -> None:
    service, _, metrics = parts
    error = InvalidInput("malformed JSON")
    if shape == (1, 3):
        with pytest.raises(InvalidInput) as caught:
            await service.infer(infer_request("plus", x=np.zeros(shape)))
        error = caught.value
    service.count_refused("http", error)
    service.count_refused("http", error)
    assert counted(metrics, "invalid") + counted(metrics, "invalid", model="") == 1


async def test_drained_returns_at_once_when_nothing_is_in_flight(parts: Parts) -> None:
    await parts[0].drained()


async def test_drained_returns_when_the_last_request_is_cancelled(parts: Parts) -> None:
    service, repository, _ = parts
    with_scheduler(repository, FakeScheduler())
    in_flight = asyncio.create_task(service.infer(plus_request()))
    await asyncio.sleep(0)
    in_flight.cancel()
    await service.drained()
    assert in_flight.cancelled()


async def test_close_reaches_the_schedulers(parts: Parts) -> None:
    service = parts[0]
    service.close()
    with pytest.raises(ShuttingDown):
        await service.infer(plus_request())


# --- metadata ------------------------------------------------------------------------------------


async def test_model_metadata_lists_ready_versions_or_the_one_asked_for(tmp_path: Path) -> None:
    for version in (1, 2):
        write_model(tmp_path, "m", plus(version), version=version)
    (tmp_path / "m" / "config.pbtxt").write_text("version_policy { all { } }")
    with running_service(tmp_path) as (service, repository, _):
        await repository.load_all()
        assert service.model_metadata("m").versions == ("1", "2")
        metadata = service.model_metadata("m", "1")
    assert metadata.versions == ("1",)
    assert metadata.platform == "onnxruntime_onnx"
    assert metadata.properties["provider"] == "CPUExecutionProvider"
    assert [(spec.name, spec.shape) for spec in metadata.outputs] == [("y", (-1, 2))]


# --- classify ------------------------------------------------------------------------------------


@pytest.fixture
async def classify_parts(tmp_path: Path) -> Iterator[Parts]:  # type: ignore[misc]  # pytest-asyncio runs it as a generator
    write_model(tmp_path, "brightness", brightness())
    write_model(tmp_path, "fixed", fixed())
    with running_service(tmp_path) as made:
        await made[1].load_all()
        yield made


def classify_request(*greys: int, model: str = "brightness", top_k: int = 1) -> ClassifyRequest:
    return ClassifyRequest(
        model_name=model, images=tuple(picture(grey) for grey in greys), top_k=top_k
    )


@pytest.mark.parametrize("count", [1, 8, 9, 16])
async def test_classify_answers_in_order_however_many_batches_it_takes(
    classify_parts: Parts, count: int
) -> None:
    """The largest batch is 8 rows, the queue takes 16."""
    service, _, metrics = classify_parts
    greys = [255 * (n % 3 == 1) for n in range(count)]
    response = await service.classify(classify_request(*greys))
    labels = [predictions[0].label for predictions in response.results]
    assert labels == ["light" if grey else "dark" for grey in greys]
    runs = metrics.registry.get_sample_value(
        "quartet_batch_size_count", {"model": "brightness", "version": "1"}
    )
    assert runs == -(-count // 8)
    assert counted(metrics, "ok", model="brightness") == 1


async def test_classify_fails_as_one_when_its_batches_do_not_fit_the_queue(
    classify_parts: Parts,
) -> None:
    service, repository, metrics = classify_parts
    with pytest.raises(QueueFull):
        await service.classify(classify_request(*[0] * 24))
    await service.drained()
    await repository.drain()
    assert counted(metrics, "rejected", model="brightness") == 1


async def test_classify_gives_as_many_classes_as_are_wanted(classify_parts: Parts) -> None:
    response = await classify_parts[0].classify(classify_request(51, top_k=9))
    (predictions,) = response.results
    assert [(p.label, p.index) for p in predictions] == [("dark", 0), ("light", 1)]
    assert [p.probability for p in predictions] == pytest.approx([0.8, 0.2], abs=1e-6)


async def test_classify_says_what_the_model_lacks(classify_parts: Parts) -> None:
    with pytest.raises(NotSupported, match="fixed"):
        await classify_parts[0].classify(classify_request(0, model="fixed"))


async def test_classify_counts_a_bad_picture_as_the_clients_fault(classify_parts: Parts) -> None:
    service, _, metrics = classify_parts
    with pytest.raises(ServingError) as caught:
        await service.classify(ClassifyRequest(model_name="brightness", images=(b"text",)))
    assert caught.value.http_status == 400
    assert counted(metrics, "invalid", model="brightness") == 1


async def test_classify_is_refused_when_too_many_pictures_are_being_worked_on(
    tmp_path: Path,
) -> None:
    write_model(tmp_path, "brightness", brightness())
    with running_service(tmp_path, max_images=3) as (service, repository, metrics):
        await repository.load_all()
        first, second = await asyncio.gather(
            service.classify(classify_request(1, 2)),
            service.classify(classify_request(3, 4)),
            return_exceptions=True,
        )
        assert isinstance(first, ClassifyResponse)
        assert isinstance(second, QueueFull)
        assert counted(metrics, "rejected", model="brightness") == 1
        large = await service.classify(classify_request(1, 2, 3, 4, 5))  # the server is idle again
        assert len(large.results) == 5
