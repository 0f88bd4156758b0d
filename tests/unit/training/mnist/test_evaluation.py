"""Family mnist's answers to the evaluation."""

import json
from pathlib import Path

import pytest
import torch

from training.checkpoint import save_checkpoint
from training.evaluation.report import describe as describe_classifier
from training.mnist.config import MnistConfig
from training.mnist.evaluation import MnistEvaluation
from training.mnist.model import build_model
from training.trained import evaluation_module

MODEL = {"arch": "mlp", "hidden": [8]}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of random weights, trained on files that are not the published ones."""
    torch.manual_seed(3)
    model = build_model(MnistConfig.model_validate({"model": MODEL}))
    config = {"family": "mnist", "model": MODEL, "data": {"verify": False}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_checkpoint(tmp_path / "best.pt", {"model": model.state_dict(), "step": 0, "metrics": {}})
    return tmp_path


def test_evaluate_gives_a_classifiers_figures_and_pictures(run_dir: Path, mnist_dir: Path) -> None:
    evaluation = MnistEvaluation(run_dir, mnist_dir).evaluate("test")
    assert evaluation.figures["count"] == 16
    assert set(evaluation.figures["per_class"]) == set("0123456789")
    assert set(evaluation.plots) == {"confusion", "reliability", "mistakes"}


def test_predictions_are_log_probabilities_of_the_whole_split(
    run_dir: Path, mnist_dir: Path
) -> None:
    predictions = MnistEvaluation(run_dir, mnist_dir).predictions("test")
    assert predictions.log_probabilities.shape == (16, 10)
    sums = torch.from_numpy(predictions.log_probabilities).exp().sum(dim=1)
    # Each row is a log-softmax in float64.
    torch.testing.assert_close(sums, torch.ones(16, dtype=torch.float64), rtol=0, atol=1e-12)


def test_evaluation_module_is_found_by_the_family_of_the_run(run_dir: Path) -> None:
    module = evaluation_module(run_dir)
    assert isinstance(module.open_run(run_dir, run_dir), MnistEvaluation)
    assert module.describe is describe_classifier


@pytest.mark.data
def test_predictions_cover_the_published_test_split(run_dir: Path, data_dir: Path) -> None:
    (run_dir / "config.json").write_text(json.dumps({"family": "mnist", "model": MODEL}))
    run = MnistEvaluation(run_dir, data_dir)
    assert len(run.predictions("test").targets) == 10_000
    assert len(run.data_checksums()) == 4
