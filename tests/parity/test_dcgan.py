"""The graphs of generators and critics against PyTorch, on small networks with random weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from quartet.artifact import METADATA_KEY, load_golden, parse_task
from quartet.image_generation import ImageGenerationTask
from tests.dcgan_runs import LATENT, write_run
from tests.normalisation import settle_normalisation
from training.dcgan.declaration import declare
from training.dcgan.export import DcganRun, prove_graphs
from training.dcgan.proof import PictureReport, Proved
from training.dcgan.served import served_generator
from training.dcgan.trained_networks import TrainedDcgan, load_trained
from training.evaluation.runner import EVALUATION_FILE, stored_evaluation
from training.export.engine import onnx_predict
from training.export.errors import ExportError
from training.export.pipeline import export_run
from training.export.record import ExportRequest

Kind = Literal["none", "class", "prompt"]
FIGURES = {"count": 9, "critic": {"probability_real": 0.6, "probability_fake": 0.4, "auc": 0.7}}


@dataclass(frozen=True)
class Exported:
    """Both graphs of a run, proved."""

    kind: Kind
    trained: TrainedDcgan
    task: ImageGenerationTask
    generator: Proved
    critic: Proved


@pytest.fixture(scope="module", params=["none", "class", "prompt"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    torch.set_num_threads(1)
    run = load_trained(write_run(tmp_path_factory.mktemp("dcgan") / "run", request.param))
    torch.manual_seed(3)
    for network in (run.generator, run.discriminator):
        settle_normalisation(network)
    task = declare(run, {})
    return Exported(request.param, run, task, *prove_graphs(run, task))


def test_generator_equals_pytorch_before_rounding(exported: Exported) -> None:
    report = exported.generator.report
    assert isinstance(report, PictureReport)
    assert set(report.max_abs_difference) == {"1", "2", "7", "64"}
    assert max(report.max_abs_difference.values()) <= 1e-4 * 127.5
    assert report.share_off_by_one <= 1e-3
    assert report.max_abs_batch_difference == 0.0


def test_generator_gives_the_golden_pictures_of_seeds(exported: Exported) -> None:
    golden = exported.generator.golden
    got = onnx_predict(exported.generator.model)(golden.inputs)["image"]
    expected = golden.outputs["image"]
    assert got.dtype == expected.dtype == np.dtype(np.uint8)
    assert got.shape == expected.shape == (16, 28, 28, 1)
    assert np.abs(got.astype(np.int16) - expected.astype(np.int16)).max() <= golden.atol == 1.0
    assert np.ptp(expected.astype(np.int16)) > 20, "random weights must not give one grey"


def test_generator_listens_to_its_condition(exported: Exported) -> None:
    if exported.kind == "none":
        assert set(exported.generator.golden.inputs) == {"z"}
        return
    inputs = dict(exported.generator.golden.inputs)
    predict = onnx_predict(exported.generator.model)
    before = predict(inputs)["image"]
    inputs[exported.kind] = np.roll(inputs[exported.kind], 1, axis=0)
    assert (predict(inputs)["image"] != before).any()


def test_graphs_fold_normalisation_and_multiply_no_rows_together(exported: Exported) -> None:
    for proved in (exported.generator, exported.critic):
        kinds = {node.op_type for node in proved.model.graph.node}
        assert not kinds & {"BatchNormalization", "Gemm", "MatMul", "GRU"}


def test_generator_declares_its_task_and_free_batch(exported: Exported) -> None:
    model = exported.generator.model
    assert parse_task({p.key: p.value for p in model.metadata_props}[METADATA_KEY]) == exported.task
    tensors = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    condition: dict[Kind, dict[str, list[str | int]]] = {
        "none": {},
        "class": {"class": ["batch"]},
        "prompt": {"prompt": ["batch", exported.task.prompt_length]},
    }
    assert tensors == {
        "z": ["batch", LATENT],
        "image": ["batch", 28, 28, 1],
        **condition[exported.kind],
    }


def test_critic_gives_its_golden_probabilities(exported: Exported) -> None:
    golden = exported.critic.golden
    got = onnx_predict(exported.critic.model)(golden.inputs)["probability"]
    assert got.shape == (16,)
    np.testing.assert_allclose(
        np.asarray(got, np.float64),
        np.asarray(golden.outputs["probability"], np.float64),
        atol=golden.atol,
        rtol=golden.rtol,
    )


def test_proof_refuses_a_generator_that_is_not_the_trained_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    run = load_trained(write_run(tmp_path / "run"))
    form = served_generator(run.generator)
    with torch.no_grad():
        last = [m for m in form.modules() if isinstance(m, nn.ConvTranspose2d)][-1]
        last.weight += 1e-2
    monkeypatch.setattr("training.dcgan.export.served_generator", lambda _: form)
    with pytest.raises(ExportError, match="'values' differs by up to"):
        prove_graphs(run, declare(run, {}))


def test_export_publishes_generator_critic_and_card(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    run_dir = write_run(tmp_path / "runs" / "dcgan" / "small")
    evaluation = {**stored_evaluation(run_dir), "splits": {"test": FIGURES, "validation": FIGURES}}
    (run_dir / EVALUATION_FILE).write_text(json.dumps(evaluation))
    request = ExportRequest(run_dir=run_dir, repository=tmp_path / "repo", name="small")
    (entry,) = export_run(DcganRun(run_dir), request)
    folder = tmp_path / "repo" / "small"
    assert (entry.number, entry.precision, entry.file) == (1, "float32", "model.onnx")
    assert {path.name for path in (folder / "1").iterdir()} == {
        *("model.onnx", "critic.onnx", "golden.npz", "critic.golden.npz", "run.json")
    }
    assert load_golden(folder / "1" / "critic.golden.npz").outputs["probability"].shape == (16,)
    stored = json.loads((folder / "1" / "run.json").read_text())
    assert stored["metrics"]["test"] == {"critic_auc": 0.7}
    assert [row["batch_size"] for row in stored["times"]] == [1, 2, 4, 8, 16, 32]
    assert set(stored["parity"]) == {"model.onnx", "critic.onnx"}
    assert "us a picture" in (folder / "README.md").read_text()
    config = (folder / "config.pbtxt").read_text()
    assert "dims: [ 28, 28, 1 ]" in config
    onnx.checker.check_model(onnx.load(folder / "1" / "critic.onnx"))
