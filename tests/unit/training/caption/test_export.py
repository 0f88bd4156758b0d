"""A captioner from its run directory to published versions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from quartet.artifact import (
    METADATA_KEY,
    ImageCaptioningTask,
    load_caption_golden,
    load_golden,
    parse_task,
)
from tests.unit.training.caption.conftest import PhotoRun, make_run
from training.caption.evaluation import open_run as open_evaluation
from training.caption.export import CaptionRun, open_run, stored_penalty
from training.evaluation.runner import EVALUATION_FILE, evaluate
from training.export.card import PublishedVersion
from training.export.pipeline import export_run
from training.export.record import ExportRequest

GRAPHS = {
    "golden.npz": "model.onnx",
    "prefill.golden.npz": "prefill.onnx",
    "encoder.golden.npz": "encoder.onnx",
}
FILES = {*GRAPHS, *GRAPHS.values(), "captions.golden.npz", "weights.bin", "run.json"}


@dataclass(frozen=True)
class Done:
    run: PhotoRun
    folder: Path
    published: tuple[PublishedVersion, ...]

    def version(self, precision: str) -> Path:
        number = next(v.number for v in self.published if v.precision == precision)
        return self.folder / str(number)


@pytest.fixture(scope="module", params=["attention", "plain"])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("export")
    run = make_run(folder, request.param)
    evaluate(run.path, "test", lambda: open_evaluation(run.path, run.data_dir))
    asked = ExportRequest(run_dir=run.path, repository=folder / "repo", name="photos")
    published = export_run(open_run(run.path, run.data_dir), asked)
    return Done(run, folder / "repo" / "photos", published)


def run_json(version: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((version / "run.json").read_text())
    return values


def declared(version: Path) -> ImageCaptioningTask:
    model = onnx.load(version / "model.onnx", load_external_data=False)
    task = parse_task({p.key: p.value for p in model.metadata_props}[METADATA_KEY])
    assert isinstance(task, ImageCaptioningTask)
    return task


def test_both_precisions_are_published_whole(done: Done) -> None:
    assert {v.precision for v in done.published} == {"float32", "int8"}
    for version in done.published:
        folder = done.folder / str(version.number)
        assert {path.name for path in folder.iterdir()} == FILES
        assert set(run_json(folder)["sha256"]) == FILES - {"run.json"}


def test_published_graphs_give_their_golden_outputs(done: Done) -> None:
    for version in done.published:
        folder = done.folder / str(version.number)
        for file, graph in GRAPHS.items():
            golden = load_golden(folder / file)
            session = ort.InferenceSession(folder / graph, providers=["CPUExecutionProvider"])
            names = list(golden.outputs)
            for name, got in zip(names, session.run(names, dict(golden.inputs)), strict=True):
                wanted = np.asarray(golden.outputs[name], np.float64)
                np.testing.assert_allclose(got, wanted, atol=golden.atol, rtol=golden.rtol)


def test_golden_captions_are_of_the_declared_search(done: Done) -> None:
    for precision in ("float32", "int8"):
        version = done.version(precision)
        task, golden = declared(version), load_caption_golden(version / "captions.golden.npz")
        assert 1 <= len(golden.images) == len(golden.tokens) <= 4
        assert golden.images.shape[1:] == (32, 32, 3)
        assert golden.beam_width == task.defaults.beam_width == 3
        assert golden.length_penalty == task.defaults.length_penalty
        assert golden.max_tokens == task.defaults.max_tokens == 10
        for tokens in golden.tokens:
            assert {task.vocabulary[token] for token in tokens}.isdisjoint(task.hidden)


def test_declaration_has_states_symbols_picture_and_grid(done: Done) -> None:
    attends = "attention" in done.run.path.name
    for precision in ("float32", "int8"):
        task = declared(done.version(precision))
        assert [pair.input for pair in task.states] == ["hidden", "cell", "counts"]
        assert task.constants == (("keys", "values") if attends else ())
        assert task.grid == ((2, 2) if attends else None)
        assert (task.begin, task.stop) == ("<start>", ("<end>",))
        assert task.hidden == ("<start>", "<unk>")
        assert (task.image.layout, task.image.mode, task.image.fit) == ("HWC", "RGB", "stretch")
        assert (task.image.height, task.image.width) == (32, 32)
        assert (task.max_tokens, task.steps, task.precision) == (40, 8, precision)


def test_record_has_scores_and_parity_of_all_graphs(done: Done) -> None:
    evaluated = json.loads((done.run.path / EVALUATION_FILE).read_text())
    beam = evaluated["splits"]["test"]["widths"]["3"]
    values = run_json(done.version("float32"))
    # The same captions by another runtime.
    assert values["metrics"]["test"]["cider_d"] == pytest.approx(beam["cider_d"], abs=1e-6)
    assert set(values["parity"]) == {"model.onnx", "prefill.onnx", "encoder.onnx"}
    for report in values["parity"].values():
        assert report["max_abs_batch_difference"] == 0.0


def test_card_has_scores_speed_and_terms(done: Done) -> None:
    card = (done.folder / "README.md").read_text()
    assert "# photos: What a photograph shows, in words" in card
    assert "a person, 4 references" in card
    assert "us a picture searched with 3 beams for 12 words" in card
    assert "those of the data's owner" in card
    assert "max_batch_size: 8" in (done.folder / "config.pbtxt").read_text()


def test_the_length_penalty_is_that_of_the_stored_evaluation(photo_run: PhotoRun) -> None:
    assert stored_penalty(photo_run.path, 3) == 1.0
    evaluate(photo_run.path, "test", lambda: open_evaluation(photo_run.path, photo_run.data_dir))
    path = photo_run.path / EVALUATION_FILE
    values = json.loads(path.read_text())
    values["splits"]["test"]["widths"]["3"]["length_penalty"] = 0.25
    path.write_text(json.dumps(values))
    assert stored_penalty(photo_run.path, 3) == 0.25
    assert stored_penalty(photo_run.path, 4) == 1.0


def test_graphs_are_proved_on_one_thread(
    photo_run: PhotoRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def refuse(*_: object) -> None:
        used.append(torch.get_num_threads())
        raise RuntimeError("seen enough")

    monkeypatch.setattr("training.caption.export.prove", refuse)
    torch.set_num_threads(2)  # restored for other tests by a fixture
    with pytest.raises(RuntimeError, match="seen enough"):
        CaptionRun(photo_run.path, photo_run.data_dir).float32()
    assert used == [1]
