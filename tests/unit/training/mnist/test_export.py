"""Family mnist's answers to the exporter, on the real data."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoint import save_checkpoint
from training.export.engine import torch_predict
from training.mnist.config import MnistConfig
from training.mnist.data import prepare
from training.mnist.evaluation import MnistEvaluation
from training.mnist.export import DigitClassifier, MnistRun
from training.mnist.model import build_model
from training.trained import open_run

MODEL = {"arch": "mlp", "hidden": [8]}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random weights."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(3)
    model = build_model(MnistConfig.model_validate({"model": MODEL}))
    (folder / "config.json").write_text(json.dumps({"family": "mnist", "model": MODEL}))
    save_checkpoint(folder / "best.pt", {"model": model.state_dict(), "step": 0, "metrics": {}})
    return folder


@pytest.fixture(scope="module")
def run(run_dir: Path, data_dir: Path) -> MnistRun:
    return MnistRun(run_dir, data_dir)


def test_classifier_prepares_pictures_as_training_does(run_dir: Path, tmp_path: Path) -> None:
    graph = MnistRun(run_dir, tmp_path).graph()
    images = torch.from_numpy(np.asarray(graph.golden_inputs["image"]))
    module = graph.module
    assert isinstance(module, DigitClassifier)
    with torch.inference_mode():
        expected = torch.softmax(module.model(prepare(images)), dim=1).numpy()
    got = torch_predict(graph)(graph.golden_inputs)["probabilities"]
    np.testing.assert_array_equal(got, expected)


def test_open_run_finds_the_family_by_its_name(run_dir: Path, tmp_path: Path) -> None:
    assert open_run(run_dir, tmp_path).labels() == tuple("0123456789")


def test_a_run_trained_on_other_files_is_judged_by_such_files(
    run_dir: Path, mnist_dir: Path, tmp_path: Path
) -> None:
    shutil.copy(run_dir / "best.pt", tmp_path)
    config = {"family": "mnist", "model": MODEL, "data": {"verify": False}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = MnistRun(tmp_path, mnist_dir)
    assert sum(len(batch["image"]) for batch in run.calibration_inputs(1000)) == 128
    assert "55,000" not in run.card().data


@pytest.mark.data
def test_calibration_inputs_are_the_asked_number_of_distinct_training_rows(run: MnistRun) -> None:
    batches = [np.asarray(batch["image"]) for batch in run.calibration_inputs(250)]
    assert [len(batch) for batch in batches] == [100, 100, 50]
    assert len({image.tobytes() for batch in batches for image in batch}) == 250


@pytest.mark.data
def test_validation_score_is_the_evaluations_accuracy(
    run: MnistRun, run_dir: Path, data_dir: Path
) -> None:
    predictions = MnistEvaluation(run_dir, data_dir).predictions("validation")
    accuracy = float((predictions.log_probabilities.argmax(1) == predictions.targets).mean())
    assert predictions.images.shape == (5000, 28, 28)
    assert run.validation_score(torch_predict(run.graph())) == pytest.approx(accuracy)


@pytest.mark.data
def test_test_score_counts_the_test_split(run: MnistRun) -> None:
    zeros = run.test_score(
        lambda inputs: {"probabilities": np.eye(10)[np.zeros(len(inputs["image"]), int)]}
    )
    assert zeros == 0.098
