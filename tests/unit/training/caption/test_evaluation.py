"""The evaluation of a run of family caption: figures, sheets, marks."""

import json
from pathlib import Path

import pytest
from PIL import Image

from quartet.config import ConfigError
from tests.unit.training.caption.conftest import PhotoRun, make_run
from training.caption.cider import CiderD
from training.caption.decoding import BeamSettings, caption_pictures, words_of
from training.caption.evaluation import CaptionEvaluation
from training.caption.judge import judge
from training.caption.marks import marks_file
from training.caption.report import card_section, describe
from training.caption.scores import score_captions
from training.caption.task import load_trained
from training.caption.tuning import PENALTIES, WIDTHS
from training.data.caption_text import tokenize
from training.evaluation.runner import EVALUATION_FILE, evaluate, stored_evaluation
from training.evaluation.spec import Figures, Split
from training.trained import evaluation_module


def evaluated(run: PhotoRun, split: Split = "test") -> Figures:
    module = evaluation_module(run.path)
    figures, _ = evaluate(run.path, split, lambda: module.open_run(run.path, run.data_dir))
    return figures


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> PhotoRun:
    """A run that was evaluated on the test split."""
    run = make_run(tmp_path_factory.mktemp("judged"))
    evaluated(run)
    return run


def figures_of(run: PhotoRun) -> Figures:
    figures: Figures = stored_evaluation(run.path)["splits"]["test"]
    return figures


def test_figures_are_those_of_free_decoding_with_the_chosen_penalty(judged: PhotoRun) -> None:
    figures = figures_of(judged)
    config, captioner = load_trained(judged.path)
    part = judged.photos.test
    references = [[tokenize(text) for text in texts] for texts in part.captions]
    for width in WIDTHS:
        row = figures["widths"][str(width)]
        settings = BeamSettings(
            width=width, length_penalty=row["length_penalty"], max_tokens=config.data.max_words
        )
        found = caption_pictures(captioner, part.images, settings)
        captions = [words_of(best[0], captioner.model.symbols) for best in found]
        expected = score_captions(captions, references)
        for name, value in expected.items():
            assert row[name] == pytest.approx(value)


def test_the_penalty_is_the_best_of_validation(judged: PhotoRun) -> None:
    for row in figures_of(judged)["widths"].values():
        tried = {float(penalty): score for penalty, score in row["validation"].items()}
        assert tuple(tried) == PENALTIES
        assert tried[row["length_penalty"]] == max(tried.values())


def test_the_test_split_has_no_say_in_what_is_chosen(photo_run: PhotoRun) -> None:
    run = CaptionEvaluation(photo_run.path, photo_run.data_dir)
    chosen = {width: one.settings for width, one in run.tuned.items()}
    part = run.images.validation
    references = [[tokenize(text) for text in texts] for texts in part.captions]
    _, captioner = load_trained(photo_run.path)
    found = caption_pictures(captioner, part.images, chosen[3])
    captions = [words_of(best[0], captioner.model.symbols) for best in found]
    assert CiderD(references).score(captions) == pytest.approx(run.tuned[3].best)


def test_all_captions_are_kept_beside_the_figures(judged: PhotoRun) -> None:
    figures = figures_of(judged)
    record = json.loads((judged.path / "captions-test.json").read_text())
    part = judged.photos.test
    assert record["pictures"] == list(part.names)
    assert record["width"] == figures["width"]
    shown = [tokenize(text) for text in record["captions"][str(record["width"])]]
    references = [[tokenize(text) for text in texts] for texts in part.captions]
    assert CiderD(references).scores(shown).tolist() == pytest.approx(record["cider_d"])


@pytest.mark.parametrize(("decoder", "attends"), [("attention", True), ("plain", False)])
def test_sheets_are_drawn(tmp_path: Path, decoder: str, attends: bool) -> None:
    run = make_run(tmp_path, decoder)
    evaluated(run, "validation")
    with Image.open(run.path / "captions-validation.png") as sheet:
        assert min(sheet.size) > 200
    assert (run.path / "attention-validation.png").exists() == attends


def test_description_names_floors_and_people(judged: PhotoRun) -> None:
    figures = figures_of(judged)
    for text in (describe(figures), card_section(figures)):
        for name in (
            "beam 1, length penalty",
            'always "a man in a red shirt is standing in the grass"',
            "a training caption drawn by lot",
            "nearest training pictures",
            "a person, 4 references",
        ):
            assert name in text
    assert "judged by eye" not in card_section(figures)


def test_progress_is_told(photo_run: PhotoRun) -> None:
    lines: list[str] = []
    CaptionEvaluation(photo_run.path, photo_run.data_dir, lines.append).evaluate("test")
    told = [line for line in lines if "CIDEr-D of validation by length penalty" in line]
    assert [line.split(",")[0] for line in told] == [f"beam {width}" for width in WIDTHS]


def test_marks_are_counted_and_kept_while_captions_stay(photo_run: PhotoRun) -> None:
    evaluated(photo_run)
    shown = len(photo_run.photos.test)
    assert judge(photo_run.path, photo_run.data_dir, "test")["not judged"] == shown
    file = marks_file(photo_run.path, "test")
    values = json.loads(file.read_text())
    places = [(picture, text) for picture, texts in values["marks"].items() for text in texts]
    assert len(places) == shown
    values["judge"] = "a reader"
    for number, (picture, text) in enumerate(places[:5]):
        values["marks"][picture][text] = "right" if number < 2 else "wrong"
    file.write_text(json.dumps(values))
    counts = judge(photo_run.path, photo_run.data_dir, "test")
    assert (counts["right"], counts["wrong"], counts["not judged"]) == (2, 3, shown - 5)
    stored = stored_evaluation(photo_run.path)["splits"]["test"]
    assert stored["judgement"] == counts
    assert "judged by eye by a reader: 2 right, 3 wrong" in card_section(stored)
    again = CaptionEvaluation(photo_run.path, photo_run.data_dir).evaluate("test")
    assert again.figures["judgement"] == counts


def test_a_run_that_was_not_evaluated_is_not_judged(photo_run: PhotoRun) -> None:
    with pytest.raises(ConfigError, match="was not evaluated on the test split"):
        judge(photo_run.path, photo_run.data_dir, "test")


def test_a_lost_record_is_named(photo_run: PhotoRun) -> None:
    evaluated(photo_run)
    (photo_run.path / "captions-test.json").unlink()
    with pytest.raises(ConfigError, match=r"captions-test\.json.*--force writes it"):
        judge(photo_run.path, photo_run.data_dir, "test")


def test_what_is_published_holds_no_captions_of_pictures(judged: PhotoRun) -> None:
    text = (judged.path / EVALUATION_FILE).read_text()
    assert all(name not in text for name in judged.photos.test.names)
