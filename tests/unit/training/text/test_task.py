"""The text task: bit-equal resume in the middle of an epoch, carried state, learning, averaging."""

import math
from pathlib import Path

import pytest
import torch

from quartet.config import ConfigError
from training.checkpoint import CheckpointError, save_checkpoint
from training.config import (
    OptimizerConfig,
    PrecisionConfig,
    RegularisationConfig,
    RunConfig,
    ScheduleConfig,
)
from training.loggers import Loggers
from training.rundir import RunDirectory
from training.runtime import Runtime
from training.text.config import CellName, TextConfig, TextDataConfig, TextModelConfig
from training.text.data import Corpus
from training.text.model import build_model
from training.text.streams import stream_loss
from training.text.task import FAMILY, TextTask, load_trained
from training.trainer import Trainer

CELLS: tuple[CellName, ...] = ("rnn", "gru", "lstm", "tcn")
STEPS = 4
"""Steps of an epoch of 1,800 characters: 18 streams of 100, 25 characters a step."""


def config(
    *,
    cell: CellName = "lstm",
    epochs: int = 2,
    max_steps: int = 0,
    ema: float = 0.0,
    seed: int = 1,
    streams: int = 16,
) -> TextConfig:
    """Two small layers with dropout."""
    return TextConfig(
        model=TextModelConfig(cell=cell, width=8, embedding=4),
        data=TextDataConfig(
            batch_size=18,
            sequence_length=25,
            validation_streams=streams,
            validation_batch_size=3,
        ),
        regularisation=RegularisationConfig(dropout=0.3, ema_decay=ema),
        run=RunConfig(epochs=epochs, max_steps=max_steps, seed=seed),
    )


def train(settings: TextConfig, data: Corpus, folder: Path, *, resume: bool = False) -> TextTask:
    folder.mkdir(exist_ok=True)
    task = TextTask(settings, data, Runtime())
    trainer = Trainer(task, settings, RunDirectory(folder), Runtime())
    if resume:
        trainer.resume()
    trainer.fit(Loggers())
    return task


def same_weights(one: TextTask, two: TextTask) -> bool:
    left, right = one.best_model().state_dict(), two.best_model().state_dict()
    return all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("steps", [3, STEPS, 6])
def test_resume_gives_bit_equal_weights_within_an_epoch_and_between_two(
    corpus: Corpus, tmp_path: Path, cell: CellName, steps: int
) -> None:
    whole = train(config(cell=cell, ema=0.9), corpus, tmp_path / "whole")
    train(config(cell=cell, ema=0.9, max_steps=steps), corpus, tmp_path / "parts")
    torch.randn(5)
    resumed = train(config(cell=cell, ema=0.9), corpus, tmp_path / "parts", resume=True)
    assert whole.plan.steps_per_epoch == STEPS
    assert same_weights(whole, resumed)


def test_resume_refuses_another_text(corpus: Corpus, tmp_path: Path) -> None:
    train(config(max_steps=1), corpus, tmp_path / "run")
    other = Corpus(
        "other", corpus.train, corpus.validation, corpus.test, corpus.symbols, checksum="00" * 32
    )
    with pytest.raises(CheckpointError, match=r"last\.pt does not fit this run: the run was train"):
        train(config(), other, tmp_path / "run", resume=True)


def test_training_repeats_with_its_seed_and_differs_with_another(
    corpus: Corpus, tmp_path: Path
) -> None:
    one = train(config(epochs=1), corpus, tmp_path / "one")
    torch.randn(5)
    assert same_weights(one, train(config(epochs=1), corpus, tmp_path / "two"))
    assert not same_weights(one, train(config(epochs=1, seed=2), corpus, tmp_path / "three"))


def loss_of(task: TextTask, step: int) -> float:
    """The loss of ``step``, with the same dropout each time."""
    torch.manual_seed(0)
    return float(task.train_step(step)["loss"])


def test_state_is_carried_from_step_to_step_of_an_epoch(corpus: Corpus) -> None:
    losses = []
    for state in (None, 0.0):
        task = TextTask(config(), corpus, Runtime())
        loss_of(task, 0)
        if state is not None:
            task.modules()["carried"].get_buffer("hidden").fill_(state)
        losses.append(loss_of(task, 1))
    assert losses[0] != losses[1]


def test_state_is_zero_when_an_epoch_begins(corpus: Corpus) -> None:
    losses = []
    for state in (0.0, 1.0):
        task = TextTask(config(), corpus, Runtime())
        task.modules()["carried"].get_buffer("hidden").fill_(state)
        losses.append(loss_of(task, STEPS))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("cell", CELLS)
def test_task_learns_the_words_of_the_text(corpus: Corpus, cell: CellName) -> None:
    settings = TextConfig(
        model=TextModelConfig(cell=cell, layers=1, width=24, embedding=8),
        data=TextDataConfig(batch_size=18, sequence_length=25),
        optimizer=OptimizerConfig(lr=2e-2),
        schedule=ScheduleConfig(name="constant"),
        regularisation=RegularisationConfig(dropout=0.0, clip_norm=1.0),
    )
    task = TextTask(settings, corpus, Runtime())
    before = task.validate()["loss"]
    for step in range(60):
        task.train_step(step)
    # Words of 3.4 letters and a space at random: ln 5 / 4.4 = 0.37 nats is the least possible.
    assert task.validate()["loss"] < 0.6 < 1.5 < before


def test_validate_gives_the_loss_in_nats_bits_and_as_perplexity(corpus: Corpus) -> None:
    task = TextTask(config(), corpus, Runtime())
    metrics = task.validate()
    expected = stream_loss(task.best_model(), corpus.validation)
    assert metrics["loss"] == pytest.approx(expected, rel=1e-6)  # float32, passes of other lengths
    assert metrics["bits_per_character"] == pytest.approx(metrics["loss"] / math.log(2))
    assert metrics["perplexity"] == pytest.approx(math.exp(metrics["loss"]))


def test_validate_measures_the_running_mean_when_there_is_one(corpus: Corpus) -> None:
    task = TextTask(config(ema=0.99), corpus, Runtime())
    for step in range(3):
        task.train_step(step)
    plain = task.modules()["model"].state_dict()["head.weight"]
    assert not torch.equal(plain, task.best_model().state_dict()["head.weight"])
    assert set(task.best_model().state_dict()) == set(task.modules()["model"].state_dict())
    assert task.best_model().symbols == corpus.symbols


@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_trains_float32_weights_and_carries_float32_state(
    corpus: Corpus, cell: CellName
) -> None:
    precision = PrecisionConfig(compute="bfloat16")
    task = TextTask(config(cell=cell), corpus, Runtime(precision=precision))
    task.train_step(0)
    loss = task.train_step(1)["loss"]
    assert loss.dtype == torch.float32
    assert {p.dtype for p in task.best_model().parameters()} == {torch.float32}
    name = task.best_model().state_names[0]
    assert task.modules()["carried"].get_buffer(name).dtype == torch.float32


def test_facts_tell_the_text_and_the_sizes(corpus: Corpus) -> None:
    facts = TextTask(config(), corpus, Runtime()).facts()
    assert facts["data"] == {"words": corpus.checksum}
    assert (facts["train_characters"], facts["validation_characters"]) == (1800, 100)
    assert facts["symbols"] == len(corpus.symbols)


def test_load_trained_gives_the_best_weights_and_vocabulary_in_eval_mode(
    corpus: Corpus, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create("text", config())
    model = build_model(config(), corpus.symbols)
    save_checkpoint(run.best, {"model": model.state_dict(), "step": 1, "metrics": {}})
    loaded_config, loaded = load_trained(run.path)
    assert loaded_config == config()
    assert not loaded.training
    assert loaded.symbols == corpus.symbols
    assert stream_loss(loaded, corpus.test) == stream_loss(model.eval(), corpus.test)


def test_load_trained_refuses_weights_of_another_model(corpus: Corpus, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create("text", config(cell="gru"))
    model = build_model(config(), corpus.symbols)
    save_checkpoint(run.best, {"model": model.state_dict(), "step": 1, "metrics": {}})
    with pytest.raises(CheckpointError, match=r"best\.pt does not fit its config\.json"):
        load_trained(run.path)


def test_load_trained_refuses_a_run_of_another_family(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "run").create("mnist", config())
    with pytest.raises(ConfigError, match="expected a run of family 'text', got 'mnist'"):
        load_trained(tmp_path / "run")


@pytest.mark.parametrize("cell", CELLS)
def test_recipe_of_every_cell_is_valid_and_its_own(cell: CellName) -> None:
    values = FAMILY.recipe(TextConfig(model=TextModelConfig(cell=cell)))
    recipe = TextConfig.model_validate(values)
    assert recipe.model.cell == cell
    assert recipe.run.threads == 1


def test_recipes_of_the_cells_have_equal_parameter_counts() -> None:
    symbols = [chr(32 + i) for i in range(65)]

    def parameters(cell: CellName, width: int) -> int:
        asked = TextConfig(model=TextModelConfig(cell=cell, width=width))
        model = build_model(TextConfig.model_validate(FAMILY.recipe(asked)), symbols)
        return sum(p.numel() for p in model.parameters())

    reference = parameters("lstm", 256)
    for cell in ("rnn", "gru", "tcn"):
        assert parameters(cell, 512) == pytest.approx(reference, rel=0.03)


@pytest.mark.parametrize(
    ("corpus_name", "name"),
    [
        ("obama", "obama-lstm512-seed1"),
        ("texts/War & Peace.txt", "War-Peace-lstm512-seed1"),
        ("Πόλεμος.txt", "Πόλεμος-lstm512-seed1"),
        (".notes.txt", "notes-lstm512-seed1"),
        ("&.txt", "text-lstm512-seed1"),
    ],
)
def test_run_name_is_made_of_text_cell_width_and_seed(corpus_name: str, name: str) -> None:
    assert FAMILY.run_name(TextConfig(corpus=corpus_name)) == name
