"""What a generator declares, its served form, its golden rows and its card. No graph is made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from quartet.config import ConfigError
from quartet.image_generation import ImageGenerationTask
from tests.dcgan_runs import LATENT, write_run
from tests.normalisation import settle_normalisation
from training.dcgan import card
from training.dcgan.conditions import ClassConditions, PromptConditions
from training.dcgan.declaration import declare
from training.dcgan.export import DcganRun, golden_conditions, largest_batch
from training.dcgan.model import Discriminator, Generator
from training.dcgan.pictures import FACE_CLASSES
from training.dcgan.prompts import digit_grammar
from training.dcgan.proof import PictureReport
from training.dcgan.samples import noise
from training.dcgan.served import (
    PictureCritic,
    PictureGenerator,
    served_critic,
    served_generator,
)
from training.dcgan.trained_networks import TrainedDcgan, load_trained
from training.export.errors import ExportError
from training.export.timing import BatchTime

Kind = Literal["none", "class", "prompt"]
KINDS: tuple[Kind, ...] = ("none", "class", "prompt")
DIRECTION = {"name": "thicker", "opposite": "thinner", "vector": [1.0] + [0.0] * (LATENT - 1)}
REPORT = PictureReport(
    reference="PyTorch",
    atol=0.01,
    rtol=0.0,
    max_abs_difference={"1": 1e-4, "64": 3e-4},
    max_abs_batch_difference=0.0,
    share_off_by_one=0.00012,
)
FIGURES = {
    "count": 100,
    "critic": {"probability_real": 0.6, "probability_fake": 0.4, "auc": 0.7},
    "scorer": {"model": "mnist", "sha256": "ab" * 32},
    "frechet_distance": {"samples": 12.0, "floor": 2.0},
    "kernel_distance": {"samples": 0.5, "floor": 0.01},
    "precision": {"samples": 0.85, "floor": 0.93},
    "recall": {"samples": 0.8, "floor": 0.94},
    "inception_score": {"samples": 9.2, "deviation_of_tenths": 0.1, "real": 9.8},
    "class_shares": {"samples": [0.1] * 10, "real": [0.1] * 10},
    "path_smoothness": {"median": 1.8, "worst_tenth": 2.3},
    "agreement": {
        "samples": {"digit": {"share": 0.97, "count": 2000, "interval_95": [0.96, 0.98]}},
        "real": {"digit": {"share": 0.99, "count": 100, "interval_95": [0.95, 1.0]}},
    },
}


def trained(folder: Path, kind: Kind = "none") -> TrainedDcgan:
    """A run with statistics of normalisation that are not those of the start."""
    found = load_trained(write_run(folder / "run", kind))
    torch.manual_seed(3)
    for network in (found.generator, found.discriminator):
        settle_normalisation(network)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_served_generator_makes_the_pictures_of_the_network(tmp_path: Path, kind: Kind) -> None:
    run = trained(tmp_path, kind)
    z, said = noise(range(16), LATENT), golden_conditions(declare(run, {}))
    with torch.inference_mode():
        got = served_generator(run.generator)(z, said)
        plain = PictureGenerator(run.generator)(z, said)
    assert got.dtype == torch.uint8
    assert got.shape == (16, 28, 28, 1)
    # Folding changes the order of sums, which may move a value over the border of two levels.
    assert (got.int() - plain.int()).abs().max() <= 1
    assert (got != plain).float().mean() < 1e-3
    torch.testing.assert_close(plain, run.pictures(z, said).permute(0, 2, 3, 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_served_critic_judges_as_the_network(
    tmp_path: Path, kind: Kind, spectral_norm: bool
) -> None:
    run = trained(tmp_path, kind)
    model = run.config.model.model_copy(update={"spectral_norm": spectral_norm})
    network = Discriminator(model, run.symbols).eval()
    images = torch.randint(0, 256, (16, 28, 28, 1), dtype=torch.uint8)
    said = golden_conditions(declare(run, {}))
    with torch.inference_mode():
        plain = PictureCritic(network)(images, said)
        served = served_critic(network)
        got = served(images, said)
        again = PictureCritic(network)(images, said)
    torch.testing.assert_close(got, plain, rtol=1e-5, atol=1e-6)  # sums in another order
    assert torch.equal(again, plain), "the trained network must stay as it is"
    kept = [type(layer) for layer in served.modules()]
    assert nn.BatchNorm2d not in kept
    assert nn.utils.parametrize.ParametrizationList not in kept


def test_words_after_the_end_of_a_prompt_change_no_picture(tmp_path: Path) -> None:
    run = trained(tmp_path, "prompt")
    task = declare(run, {})
    words = torch.tensor([task.encode_prompt("a thick three")])
    shorter = words[:, : int((words != 0).sum())]
    generator = served_generator(run.generator)
    with torch.inference_mode():
        torch.testing.assert_close(
            generator.generator(noise([1], LATENT), words),
            generator.generator(noise([1], LATENT), shorter),
        )


def test_declaration_of_noise_alone_names_tensors_and_sizes(tmp_path: Path) -> None:
    task = declare(trained(tmp_path), {})
    assert (task.latent, task.output, task.condition_input) == ("z", "image", "")
    assert (task.latent_size, task.height, task.width, task.mode) == (LATENT, 28, 28, "L")


def test_declaration_of_classes_has_their_names(tmp_path: Path) -> None:
    task = declare(trained(tmp_path, "class"), {})
    assert (task.condition, task.condition_input) == ("class", "class")
    assert task.classes == tuple("0123456789")


def test_declaration_of_prompts_understands_all_its_own_examples(tmp_path: Path) -> None:
    task = declare(trained(tmp_path, "prompt"), {})
    grammar = digit_grammar()
    for prompt in (*task.example_prompts, task.default_prompt):
        assert task.encode_prompt(prompt) == tuple(grammar.encode(prompt).tolist())
        assert prompt in {sentence.text for sentence in grammar.sentences}
    assert task.prompt_length == grammar.length


def test_declared_numbers_are_those_of_training(tmp_path: Path) -> None:
    assert ClassConditions(10).symbols == trained(tmp_path, "class").symbols
    assert PromptConditions(digit_grammar()).symbols == trained(tmp_path / "b", "prompt").symbols


@pytest.mark.parametrize(
    ("dataset", "summary", "names"),
    [
        ("utkface", {}, FACE_CLASSES),
        ("photos/cats", {"classes": ["tabby", "tom"]}, ("tabby", "tom")),
    ],
)
def test_class_names_come_from_the_data_set_or_the_run(
    tmp_path: Path, dataset: str, summary: Mapping[str, Any], names: tuple[str, ...]
) -> None:
    assert declare(of_classes(tmp_path, dataset, len(names)), summary).classes == names


@pytest.mark.parametrize(
    ("dataset", "summary", "message"),
    [
        ("photos/cats", {}, r"summary\.json has no classes"),
        ("photos/cats", {"classes": ["a", "b"]}, "tells 10 apart, this version names 2"),
        ("utkface", {}, "tells 10 apart, this version names 12"),
    ],
)
def test_declaration_refuses_names_that_do_not_fit(
    tmp_path: Path, dataset: str, summary: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        declare(of_classes(tmp_path, dataset, 10), summary)


def of_classes(folder: Path, dataset: str, symbols: int) -> TrainedDcgan:
    run = load_trained(write_run(folder / "run", "class"))
    config = run.config.model_copy(update={"dataset": dataset})
    return TrainedDcgan(
        config,
        Generator(config.model, symbols),
        Discriminator(config.model, symbols),
        symbols,
    )


def test_directions_of_the_run_are_declared_without_their_figures(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    entry = {**DIRECTION, "step": 2.5, "figures": {"flips_toward": 0.9}}
    (run_dir / "directions.json").write_text(json.dumps([entry]))
    (direction,) = DcganRun(run_dir).task.directions
    assert (direction.name, direction.opposite, direction.step) == ("thicker", "thinner", 2.5)
    assert direction.vector == tuple(DIRECTION["vector"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ('[{"name": "older", "vector": [1.0]}]', "step"),
        ('[{"name": "older", "vector": [1.0], "step": 1.0}]', "older has 1 numbers"),
    ],
)
def test_damaged_directions_are_refused(tmp_path: Path, text: str, message: str) -> None:
    run_dir = write_run(tmp_path / "run")
    (run_dir / "directions.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        DcganRun(run_dir)


def test_golden_conditions_ask_for_every_class_and_example(tmp_path: Path) -> None:
    classes = golden_conditions(declare(trained(tmp_path, "class"), {}))
    assert classes is not None
    assert set(classes.tolist()) == set(range(10))
    task = declare(trained(tmp_path / "b", "prompt"), {})
    prompts = golden_conditions(task)
    assert prompts is not None
    asked = {tuple(row) for row in prompts.tolist()}
    assert {task.encode_prompt(text) for text in task.example_prompts} < asked


@pytest.mark.parametrize(
    ("us_a_row", "largest"),
    [(100.0, 32), (750.0, 32), (900.0, 16), (2400.0, 8), (9000.0, 2), (50_000.0, 1)],
)
def test_largest_batch_takes_a_core_25_milliseconds(us_a_row: float, largest: int) -> None:
    times = tuple(
        BatchTime(batch_size=size, us_per_row=us_a_row, ratio=1.0) for size in (1, 2, 4, 8, 16, 32)
    )
    assert largest_batch(times) == largest


def test_run_without_figures_of_the_validation_split_is_refused(tmp_path: Path) -> None:
    run = DcganRun(write_run(tmp_path / "run"))
    with pytest.raises(ExportError, match=r"quartet evaluate RUN --split validation"):
        run.float32()


def test_card_states_figures_beside_their_floor(tmp_path: Path) -> None:
    entry = {
        **DIRECTION,
        "step": 2.5,
        "figures": {"flips_toward": 0.9, "flips_away": 0.8, "leakage": 0.3},
    }
    text = card.section(FIGURES, [entry])
    for line in (
        "| kernel distance (KID) | 0.5 | 0.01 |",
        "| inception-style score | 9.200 | 9.800 |",
        "| digit | 97.00% (96.00% to 98.00%) | 2000 | 99.00% |",
        "| thicker | thinner | 90.0% | 80.0% | 0.30 |",
        f"SHA-256 `{'ab' * 32}`",
    ):
        assert line in text


def test_card_of_a_generator_without_a_scorer_states_what_the_critic_thinks() -> None:
    figures = {name: FIGURES[name] for name in ("count", "critic")}
    text = card.section(figures, [])
    assert "area under the curve 0.700" in text
    assert "KID" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_card_says_what_to_ask_for_and_how_equal_the_graph_is(tmp_path: Path, kind: Kind) -> None:
    run = trained(tmp_path, kind)
    facts = card.facts(run, declare(run, {}), REPORT)
    wanted = {"none": "of noise.", "class": "0, 1, 2", "prompt": '"a thin slanted three"'}
    assert wanted[kind] in facts.purpose
    assert "uint8 [batch, 28, 28, 1]" in facts.purpose
    assert "0.0120% of the golden pictures' bytes" in facts.sections["Equal to PyTorch"]
    assert "ShareAlike 3.0" in facts.terms


def test_noise_of_golden_rows_is_that_of_seeds() -> None:
    rows = noise(range(3), LATENT)
    assert torch.equal(rows[1], noise([1], LATENT)[0])
    assert np.isfinite(rows.numpy()).all()


def test_task_of_a_run_reads_back(tmp_path: Path) -> None:
    task = DcganRun(write_run(tmp_path / "run", "prompt")).task
    assert ImageGenerationTask.model_validate_json(task.model_dump_json()) == task
