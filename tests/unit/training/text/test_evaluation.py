"""The evaluation of a run of family text: figures, pictures, and what is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from training.checkpoint import save_checkpoint
from training.data.idx import DataError
from training.evaluation.runner import evaluate
from training.evaluation.spec import Figures
from training.text.config import TextConfig
from training.text.data import Corpus
from training.text.evaluation import TextEvaluation, card_section, describe
from training.text.model import build_model
from training.text.ngram import ngram_loss, tune
from training.trained import evaluation_module

SETTINGS = {
    "model": {"cell": "gru", "layers": 1, "width": 12, "embedding": 6},
    "data": {"batch_size": 4, "sequence_length": 8, "validation_streams": 3},
}


@pytest.fixture
def run_dir(tmp_path: Path, text_file: Path, corpus: Corpus) -> Path:
    """A run of random weights on the made-up text."""
    torch.manual_seed(1)
    model = build_model(TextConfig.model_validate(SETTINGS), corpus.symbols)
    config = {"family": "text", "corpus": str(text_file), **SETTINGS}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_checkpoint(tmp_path / "best.pt", {"model": model.state_dict(), "step": 0, "metrics": {}})
    return tmp_path


@pytest.fixture
def run(run_dir: Path) -> TextEvaluation:
    return TextEvaluation(run_dir, run_dir)


@pytest.fixture
def figures(run: TextEvaluation) -> Figures:
    return run.evaluate("test").figures


def one_stream_loss(run_dir: Path, ids: torch.Tensor) -> float:
    """Mean loss of all characters but the first, in one pass."""
    weights = torch.load(run_dir / "best.pt", weights_only=True)["model"]
    points = [chr(point) for point in weights["code_points"].tolist()]
    model = build_model(TextConfig.model_validate(SETTINGS), points).eval()
    model.load_state_dict(weights)
    with torch.inference_mode():
        logits, _ = model(ids[None, :-1], model.initial_state(1))
    return float(functional.cross_entropy(logits[0].double(), ids[1:].long()))


def test_held_out_loss_is_that_of_one_pass_over_the_last_tenth(
    figures: Figures, run_dir: Path, corpus: Corpus
) -> None:
    expected = one_stream_loss(run_dir, corpus.held_out)
    held_out = figures["held_out"]
    # Sums of float32 logits in another order.
    assert held_out["loss"] == pytest.approx(expected, rel=1e-6)
    assert held_out["count"] == 199


def test_bits_and_perplexity_follow_from_the_loss(figures: Figures) -> None:
    for values in (figures, figures["held_out"]):
        assert values["bits_per_character"] == pytest.approx(values["loss"] / math.log(2))
        assert values["perplexity"] == pytest.approx(math.exp(values["loss"]))


def test_baseline_is_the_n_gram_model_of_the_training_split(
    figures: Figures, corpus: Corpus
) -> None:
    train, test = (split.numpy().astype(np.int64) for split in (corpus.train, corpus.test))
    settings = tune(train, len(corpus.symbols))
    bits = ngram_loss(train, test, len(corpus.symbols), settings) / math.log(2)
    assert figures["ngram"]["bits_per_character"] == pytest.approx(bits)
    assert figures["ngram"]["ratio"] == pytest.approx(figures["bits_per_character"] / bits)


def test_validation_figures_do_not_show_the_test_split(run: TextEvaluation) -> None:
    figures = run.evaluate("validation").figures
    assert "held_out" not in figures
    assert "held_out" not in figures["ngram"]
    assert "in one stream" not in describe(figures)


def test_evaluate_writes_figures_and_pictures_beside_the_weights(run_dir: Path) -> None:
    module = evaluation_module(run_dir)
    values, fresh = evaluate(run_dir, "test", lambda: module.open_run(run_dir, run_dir))
    assert fresh
    stored = json.loads((run_dir / "evaluation.json").read_text())
    assert stored["splits"]["test"] == values
    for kind in ("context", "copying"):
        with Image.open(run_dir / f"{kind}-test.png") as picture:
            assert min(picture.size) > 100


def test_description_gives_the_main_figures(figures: Figures) -> None:
    text = describe(figures)
    assert f"loss {figures['loss']:.4f} nats" in text
    assert f"the model has {figures['ngram']['ratio']:.3f} of that" in text
    assert "held-out text" in text


def test_card_section_has_a_row_for_each_text(figures: Figures) -> None:
    rows = [line for line in card_section(figures).split("\n") if line.startswith("| ")]
    named = [row.split("|")[1].strip() for row in rows]
    assert "last tenth of the text in one stream" in named
    assert named[-4:] == ["temperature 0.5", "temperature 0.8", "temperature 1", "held-out text"]


def test_another_text_of_the_same_name_is_refused(run_dir: Path) -> None:
    summary = {"data": {"words": "0" * 64}}
    (run_dir / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(DataError, match="trained on a text of SHA-256 000"):
        TextEvaluation(run_dir, run_dir).evaluate("test")


def test_text_of_other_symbols_is_refused(run_dir: Path, tmp_path: Path, text_file: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text().replace("a", "z"))
    config = json.loads((run_dir / "config.json").read_text()) | {"corpus": str(other)}
    (run_dir / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="not all of them the same"):
        TextEvaluation(run_dir, run_dir).evaluate("test")
