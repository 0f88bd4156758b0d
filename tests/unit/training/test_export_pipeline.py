"""From a run directory to a repository a server can load."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from quartet.artifact import ArtifactError, load_golden
from training.evaluation.classification import card_section
from training.evaluation.runner import EVALUATION_FILE, stored_evaluation
from training.export.card import PublishedVersion
from training.export.engine import onnx_predict
from training.export.errors import ExportError
from training.export.pipeline import export_run
from training.export.predict import Arrays, Predict
from training.export.record import ExportRequest
from training.export.single import QuantizedGraphRun
from training.export.spec import CardFacts, ExportGraph
from training.mnist.config import MnistConfig
from training.mnist.export import digit_graph
from training.mnist.model import build_model

MODEL = {"arch": "lenet", "channels": [4, 6], "hidden": [16]}
TEST_REPORT = {
    "accuracy": 0.99,
    "correct": 99,
    "count": 100,
    "accuracy_interval_95": [0.95, 0.998],
    "nll": 0.03,
    "ece": 0.004,
    "per_class": {"0": {"precision": 1.0, "recall": 0.9, "f1": 0.95, "support": 10}},
}


class FakeRun(QuantizedGraphRun):
    """A small model with random weights and given scores."""

    def __init__(self, validation: tuple[float, ...] = (0.99, 0.99)) -> None:
        torch.manual_seed(3)
        self.digits = digit_graph(build_model(MnistConfig.model_validate({"model": MODEL})))
        self._validation = iter(validation)

    def graph(self) -> ExportGraph:
        return self.digits

    def labels(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def calibration_inputs(self, count: int) -> Iterator[Arrays]:
        yield self.digits.golden_inputs

    def validation_score(self, predict: Predict) -> float:
        return next(self._validation)

    def test_score(self, predict: Predict) -> float:
        return 0.985

    def card_section(self, figures: Mapping[str, Any]) -> str:
        return card_section(figures)

    def card(self) -> CardFacts:
        return CardFacts(
            title="Digits",
            purpose="Reads digits.",
            limits=("Only digits.",),
            data="Some.",
            terms="Theirs.",
            architecture="Small.",
        )


def prepare(folder: Path) -> ExportRequest:
    """A finished and evaluated run directory, and a repository that does not exist yet."""
    run_dir = folder / "run"
    run_dir.mkdir()
    (run_dir / "best.pt").write_bytes(b"weights")
    (run_dir / "config.json").write_text(json.dumps({"family": "mnist", "model": MODEL}))
    (run_dir / "summary.json").write_text(json.dumps({"command": "quartet train mnist", "seed": 5}))
    evaluation = {**stored_evaluation(run_dir), "splits": {"test": TEST_REPORT}}
    (run_dir / EVALUATION_FILE).write_text(json.dumps(evaluation))
    return ExportRequest(run_dir=run_dir, repository=folder / "repo", name="digits")


@pytest.fixture
def request_(tmp_path: Path) -> ExportRequest:
    return prepare(tmp_path)


@dataclass(frozen=True)
class Done:
    """An export that went well; tests only read it."""

    request: ExportRequest
    published: tuple[PublishedVersion, ...]

    @property
    def folder(self) -> Path:
        return self.request.repository / self.request.name


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    torch.set_num_threads(1)
    request = prepare(tmp_path_factory.mktemp("export"))
    return Done(request, export_run(FakeRun(), request))


def run_json(request: ExportRequest, version: int) -> dict[str, Any]:
    path = request.repository / request.name / str(version) / "run.json"
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def test_export_publishes_both_precisions_with_the_default_last(done: Done) -> None:
    assert [(entry.number, entry.default) for entry in done.published] == [(1, False), (2, True)]
    assert {entry.precision for entry in done.published} == {"float32", "int8"}
    assert {path.name for path in done.request.repository.iterdir()} == {"digits"}
    assert {path.name for path in done.folder.iterdir()} == {
        "1",
        "2",
        "README.md",
        "config.pbtxt",
        "labels.txt",
    }


def test_export_records_checksums_configuration_and_metrics(done: Done) -> None:
    values = run_json(done.request, 1)
    folder = done.folder / "1"
    for name in ("model.onnx", "golden.npz"):
        assert values["sha256"][name] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert values["metrics"] == {"validation": {"accuracy": 0.99}, "test": {"accuracy": 0.985}}
    assert values["config"]["model"] == MODEL
    assert values["training"]["seed"] == 5
    assert set(values["parity"]["max_abs_difference"]) == {"1", "2", "7", "64"}
    assert set(values["versions"]) >= {"torch", "onnx", "onnxruntime"}
    assert len(values["speed"]) == 3


def test_export_stores_golden_outputs_that_the_published_file_gives(
    done: Done,
) -> None:
    for entry in done.published:
        folder = done.folder / str(entry.number)
        golden = load_golden(folder / "golden.npz")
        got = onnx_predict(onnx.load(folder / "model.onnx"))(golden.inputs)["probabilities"]
        expected = np.asarray(golden.outputs["probabilities"], np.float64)
        assert np.abs(np.asarray(got, np.float64) - expected).max() <= golden.atol
        assert golden.inputs["image"].shape == (64, 28, 28)


def test_export_golden_outputs_tell_other_weights_apart(done: Done) -> None:
    for version in ("1", "2"):
        folder = done.folder / version
        model, golden = onnx.load(folder / "model.onnx"), load_golden(folder / "golden.npz")
        for tensor in model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.ndim == 4:
                tensor.CopyFrom(onnx.numpy_helper.from_array(values[::-1].copy(), tensor.name))
        got = np.asarray(onnx_predict(model)(golden.inputs)["probabilities"], np.float64)
        assert np.abs(got - np.asarray(golden.outputs["probabilities"], np.float64)).max() > (
            golden.atol
        )


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:300] + b[400:], lambda b: b""])
def test_load_golden_names_a_damaged_file(
    done: Done, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(damage((done.folder / "1" / "golden.npz").read_bytes()))
    with pytest.raises(ArtifactError, match=r"golden\.npz is not a golden file"):
        load_golden(path)


def test_export_publishes_float32_alone_when_int8_is_refused(request_: ExportRequest) -> None:
    published = export_run(FakeRun(validation=(0.99, 0.98)), request_)
    assert [(entry.number, entry.precision) for entry in published] == [(1, "float32")]
    assert "98.00% against float32's 99.00%" in run_json(request_, 1)["choice"]
    assert "int8 refused" in (request_.repository / "digits" / "README.md").read_text()


def test_export_leaves_int8_out_when_not_asked(request_: ExportRequest) -> None:
    request = replace(request_, int8=False)
    assert [entry.precision for entry in export_run(FakeRun(), request)] == ["float32"]


def test_export_states_measured_numbers_in_the_card(done: Done) -> None:
    card = (done.folder / "README.md").read_text()
    assert "accuracy 99.00% (99 of 100; Wilson 95 % interval 95.00% to 99.80%)" in card
    assert "quartet train mnist\nquartet evaluate runs/" in card
    assert str(done.request.run_dir) not in card
    assert run_json(done.request, 2)["sha256"]["model.onnx"] in card


def test_export_writes_labels_and_a_triton_configuration(done: Done) -> None:
    folder = done.folder
    assert (folder / "labels.txt").read_text().split() == list("0123456789")
    text = (folder / "config.pbtxt").read_text()
    for line in ('name: "digits"', "max_batch_size: 64", "dims: [ 28, 28 ]", "TYPE_UINT8"):
        assert line in text


def test_export_refuses_a_run_without_test_figures(request_: ExportRequest) -> None:
    (request_.run_dir / "best.pt").write_bytes(b"trained further")
    with pytest.raises(ExportError, match="run: quartet evaluate"):
        export_run(FakeRun(), request_)
    assert not request_.repository.exists()


def test_export_refuses_a_repository_with_other_labels(request_: ExportRequest) -> None:
    folder = request_.repository / "digits"
    folder.mkdir(parents=True)
    (folder / "labels.txt").write_text("cat\ndog\n")
    with pytest.raises(ExportError, match="names other classes"):
        export_run(FakeRun(), request_)
    assert [path.name for path in request_.repository.rglob("*")] == ["digits", "labels.txt"]


def test_export_leaves_nothing_when_the_graph_is_not_the_model(request_: ExportRequest) -> None:
    run = FakeRun()
    run.digits.module.register_forward_hook(_noise)
    with pytest.raises(ExportError):
        export_run(run, request_)
    assert not request_.repository.exists()


def _noise(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    """Adds what tracing freezes at another value than eager execution draws."""
    return output + torch.rand(()).item() * 0.1
