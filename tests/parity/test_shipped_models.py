"""The models in ``model_repo``: intact, sound on this machine, and able to read."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from quartet.artifact import (
    METADATA_KEY,
    ClassificationTask,
    ImageCaptioningTask,
    load_caption_golden,
    load_golden,
    parse_task,
)
from quartet.beam_search import BeamRules
from training.caption.graph_search import CaptionGraphs
from training.export.engine import onnx_predict
from training.export.format import check
from training.mnist.strokes import digit

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repo"
VERSIONS = sorted(path.parent for path in REPOSITORY.glob("*/[0-9]*/model.onnx"))
GRAPHS = {
    "golden.npz": "model.onnx",
    "prefill.golden.npz": "prefill.onnx",
    "encoder.golden.npz": "encoder.onnx",
    "critic.golden.npz": "critic.onnx",
}
PLAIN = ("face-attributes",)
"""Models of tensors, without a task."""
CAPTIONERS = [version for version in VERSIONS if (version / "encoder.onnx").is_file()]
DIGIT_VERSIONS = [version for version in VERSIONS if version.parent.name == "mnist"]


def name_of(version: Path) -> str:
    return f"{version.parent.name}-{version.name}"


@pytest.mark.parametrize("version", VERSIONS, ids=name_of)
def test_shipped_files_are_those_of_the_export(version: Path) -> None:
    recorded = json.loads((version / "run.json").read_text())["sha256"]
    found = {file: hashlib.sha256((version / file).read_bytes()).hexdigest() for file in recorded}
    assert {"model.onnx", "golden.npz"} <= set(recorded)
    assert found == recorded


@pytest.mark.parametrize("version", VERSIONS, ids=name_of)
def test_shipped_graph_is_valid_and_declares_its_task(version: Path) -> None:
    model = onnx.load(version / "model.onnx")
    check(model)
    for other in ("prefill.onnx", "encoder.onnx", "critic.onnx"):
        if (version / other).is_file():
            check(onnx.load(version / other))
    properties = {p.key: p.value for p in model.metadata_props}
    if version.parent.name in PLAIN:
        assert METADATA_KEY not in properties
        return
    task = parse_task(properties[METADATA_KEY])
    if isinstance(task, ClassificationTask):
        labels = (version.parent / "labels.txt").read_text().splitlines()
        assert list(task.labels) == labels


@pytest.mark.parametrize("version", VERSIONS, ids=name_of)
def test_shipped_graph_gives_its_golden_outputs(version: Path) -> None:
    for name, graph in GRAPHS.items():
        if not (version / graph).is_file():
            continue
        golden = load_golden(version / name)
        got = onnx_predict(onnx.load(version / graph))(golden.inputs)
        for name, expected in golden.outputs.items():
            np.testing.assert_allclose(
                np.asarray(got[name], np.float64),
                np.asarray(expected, np.float64),
                atol=golden.atol,
                rtol=golden.rtol,
            )


@pytest.mark.parametrize("version", CAPTIONERS, ids=name_of)
def test_shipped_captioner_finds_its_golden_captions(version: Path) -> None:
    golden = load_caption_golden(version / "captions.golden.npz")
    model = onnx.load(version / "model.onnx")
    task = parse_task({p.key: p.value for p in model.metadata_props}[METADATA_KEY])
    assert isinstance(task, ImageCaptioningTask)
    symbols = task.vocabulary
    graphs = CaptionGraphs(
        encoder=onnx_predict(onnx.load(version / "encoder.onnx")),
        decode=onnx_predict(model),
        begin=symbols.index(task.begin),
    )
    rules = BeamRules(
        width=golden.beam_width,
        n=1,
        max_tokens=golden.max_tokens,
        min_tokens=golden.min_tokens,
        length_penalty=golden.length_penalty,
        symbols=symbols,
        stop_symbols=frozenset(symbols.index(symbol) for symbol in task.stop),
        until_full=True,
    )
    found = graphs.search(golden.images, rules)
    for one, tokens, logs in zip(found, golden.tokens, golden.log_probabilities, strict=True):
        assert one.tokens.tolist() == tokens.tolist()
        np.testing.assert_allclose(one.log_probabilities, logs, atol=golden.atol)


@pytest.mark.parametrize("version", DIGIT_VERSIONS, ids=name_of)
def test_shipped_digit_model_reads_drawn_digits(version: Path) -> None:
    generator = np.random.default_rng(99)  # not the seed of the golden digits
    targets = np.arange(200) % 10
    images = np.stack([digit(int(value), generator) for value in targets])
    predict = onnx_predict(onnx.load(version / "model.onnx"))
    rows = np.asarray(predict({"image": images})["probabilities"])
    assert (rows.argmax(axis=1) == targets).mean() >= 0.97


def test_model_repository_ships_the_digit_model() -> None:
    assert len(DIGIT_VERSIONS) >= 2
