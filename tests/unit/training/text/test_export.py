"""A run of family text, from its directory to a repository a server can load."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from quartet.artifact import METADATA_KEY, load_golden, parse_task
from quartet.generation import TextGenerationTask
from training.checkpoint import save_checkpoint
from training.evaluation.runner import evaluate
from training.export.card import PublishedVersion
from training.export.errors import ExportError
from training.export.pipeline import export_run
from training.export.record import ExportRequest
from training.text.config import TextConfig
from training.text.data import Corpus
from training.text.evaluation import TextEvaluation
from training.text.export import TextRun
from training.text.model import build_model
from training.text.streams import stream_loss
from training.trained import open_run


def make_run(folder: Path, text_file: Path, corpus: Corpus, cell: str = "gru") -> Path:
    """A run directory of random weights that prefer some symbols to others."""
    settings = {
        "corpus": str(text_file),
        "model": {"cell": cell, "layers": 2, "width": 12, "embedding": 6},
        "data": {"batch_size": 4, "sequence_length": 8, "validation_streams": 3},
    }
    torch.manual_seed(1)
    model = build_model(TextConfig.model_validate(settings), corpus.symbols)
    with torch.no_grad():
        model.head.weight *= 4
    run_dir = folder / "run"
    run_dir.mkdir()
    (run_dir / "config.json").write_text(json.dumps({"family": "text", **settings}))
    save_checkpoint(run_dir / "best.pt", {"model": model.state_dict(), "step": 0, "metrics": {}})
    evaluate(run_dir, "test", lambda: TextEvaluation(run_dir, run_dir))
    return run_dir


@dataclass(frozen=True)
class Done:
    """An export that went well; tests only read it."""

    run_dir: Path
    folder: Path
    published: tuple[PublishedVersion, ...]

    def version(self, precision: str) -> Path:
        number = next(v.number for v in self.published if v.precision == precision)
        return self.folder / str(number)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, text_file: Path, corpus: Corpus) -> Done:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("export")
    run_dir = make_run(folder, text_file, corpus)
    request = ExportRequest(run_dir=run_dir, repository=folder / "repo", name="words")
    published = export_run(open_run(run_dir, folder), request)
    return Done(run_dir, folder / "repo" / "words", published)


def run_json(version: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((version / "run.json").read_text())
    return values


def test_both_precisions_are_published_whole(done: Done) -> None:
    assert {v.precision for v in done.published} == {"float32", "int8"}
    assert [v.default for v in done.published] == [False, True]
    for version in done.published:
        files = {path.name for path in (done.folder / str(version.number)).iterdir()}
        assert files == {
            "model.onnx",
            "prefill.onnx",
            "weights.bin",
            "golden.npz",
            "prefill.golden.npz",
            "run.json",
        }


def test_published_graphs_give_their_golden_outputs(done: Done) -> None:
    for version in done.published:
        folder = done.folder / str(version.number)
        for graph, file in (
            ("model.onnx", "golden.npz"),
            ("prefill.onnx", "prefill.golden.npz"),
        ):
            golden = load_golden(folder / file)
            session = ort.InferenceSession(folder / graph, providers=["CPUExecutionProvider"])
            names = list(golden.outputs)
            for name, got in zip(names, session.run(names, dict(golden.inputs)), strict=True):
                wanted = np.asarray(golden.outputs[name], np.float64)
                np.testing.assert_allclose(got, wanted, atol=golden.atol, rtol=0)


def test_declaration_has_vocabulary_states_and_defaults(done: Done, corpus: Corpus) -> None:
    for precision in ("float32", "int8"):
        model = onnx.load(done.version(precision) / "model.onnx", load_external_data=False)
        task = parse_task({p.key: p.value for p in model.metadata_props}[METADATA_KEY])
        assert isinstance(task, TextGenerationTask)
        assert task.vocabulary == corpus.symbols
        assert [pair.input for pair in task.states] == ["hidden", "counts"]
        assert (task.begin, task.unknown, task.precision) == (" ", None, precision)
        assert task.defaults.temperature == 0.8


def test_record_has_losses_parity_and_checksums_of_all_files(done: Done, corpus: Corpus) -> None:
    values = run_json(done.version("float32"))
    model = TextEvaluation(done.run_dir, done.run_dir).model
    # ONNX Runtime and PyTorch sum in another order.
    for split, ids in (("validation", corpus.validation), ("test", corpus.test)):
        expected = stream_loss(model, ids, 3)
        assert values["metrics"][split]["loss"] == pytest.approx(expected, rel=1e-5)
    assert set(values["parity"]) == {"model.onnx", "prefill.onnx"}
    assert set(values["sha256"]) == {
        "model.onnx",
        "prefill.onnx",
        "weights.bin",
        "golden.npz",
        "prefill.golden.npz",
    }
    loss = run_json(done.version("int8"))["metrics"]["validation"]["loss"]
    assert 0 < abs(loss - values["metrics"]["validation"]["loss"]) < 0.001


def test_card_has_losses_samples_and_copying(done: Done) -> None:
    card = (done.folder / "README.md").read_text()
    figures = run_json(done.version("float32"))["metrics"]["validation"]["loss"]
    assert f"{figures:.4f} nats" in card
    assert "| weights.bin |" in card
    for heading in ("## Samples", "Temperature 0.5", "Temperature 0.8", "Temperature 1"):
        assert heading in card
    assert "held-out text" in card
    assert "us a row of 16 symbols" in card


def test_config_is_decoupled_and_has_no_batch_axis(done: Done) -> None:
    text = (done.folder / "config.pbtxt").read_text()
    assert 'name: "words"' in text
    assert "max_batch_size: 0" in text
    assert "model_transaction_policy { decoupled: true }" in text


def test_graphs_are_proved_on_one_thread(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def refuse(*_: object, **__: object) -> None:
        used.append(torch.get_num_threads())
        raise ExportError("seen enough")

    monkeypatch.setattr("training.text.export.draw_inputs", refuse)
    torch.set_num_threads(2)  # restored for other tests by a fixture
    with pytest.raises(ExportError, match="seen enough"):
        TextRun(done.run_dir, done.run_dir).float32()
    assert used == [1]


def test_convolutions_are_published_in_float32_alone(
    tmp_path: Path, text_file: Path, corpus: Corpus
) -> None:
    run_dir = make_run(tmp_path, text_file, corpus, cell="tcn")
    request = ExportRequest(run_dir=run_dir, repository=tmp_path / "repo", name="words")
    published = export_run(TextRun(run_dir, tmp_path), request)
    assert [version.precision for version in published] == ["float32"]
    assert "int8 is for recurrent cells" in run_json(tmp_path / "repo" / "words" / "1")["choice"]
