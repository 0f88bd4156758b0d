"""The two-player game: what a step changes, bit-equal resume, sheets, what is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.picture_data import make_pictures
from training.dcgan import task as task_module
from training.dcgan.config import DcganConfig
from training.dcgan.pictures import LabelledPictures, PictureSet
from training.dcgan.task import FAMILY, DcganTask, as_sheet, to_pixels, to_unit
from training.distributed import ProcessGroup
from training.loggers import Loggers
from training.rundir import RunDirectory
from training.runtime import Runtime
from training.trainer import Trainer

METRICS = {
    "discriminator_loss",
    "generator_loss",
    "probability_real",
    "probability_fake",
    "discriminator_gradient_norm",
    "generator_gradient_norm",
}


def config(condition: str = "none", **changes: dict[str, Any]) -> DcganConfig:
    """Everything random on; 3 steps an epoch, of ``make_pictures()``."""
    values: dict[str, dict[str, Any]] = {
        "model": {
            "side": 16,
            "channels": 1,
            "latent": 5,
            "generator_width": 4,
            "discriminator_width": 4,
            "condition_width": 3,
            "condition": condition,
        },
        "adversarial": {"augment": ("colour", "translation", "cutout")},
        "data": {"batch_size": 8, "flip": True},
        "regularisation": {"weight_decay": 0.0, "dropout": 0.0, "ema_decay": 0.5},
        "run": {"epochs": 2},
    }
    for part, more in changes.items():
        values[part] = {**values.get(part, {}), **more}
    return DcganConfig.model_validate({"dataset": "made-up", **values})


def make_task(settings: DcganConfig, runtime: Runtime | None = None) -> DcganTask:
    return DcganTask(settings, make_pictures(), runtime or Runtime())


def step(task: DcganTask, number: int) -> dict[str, float]:
    """A step as the trainer does it."""
    torch.manual_seed(number)
    return {name: value.item() for name, value in task.train_step(number).items()}


def train(settings: DcganConfig, folder: Path, *, resume: bool = False) -> DcganTask:
    folder.mkdir(exist_ok=True)
    task = make_task(settings)
    trainer = Trainer(task, settings, RunDirectory(folder), Runtime())
    if resume:
        trainer.resume()
    trainer.fit(Loggers())
    return task


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


class Seen(Exception):
    """Ends a step once the real pictures have been seen."""


def real_batch(
    settings: DcganConfig, monkeypatch: pytest.MonkeyPatch, number: int, group: ProcessGroup
) -> Tensor:
    """The real pictures of step ``number`` on one process."""
    seen: list[Tensor] = []

    def look(pictures: Tensor, policies: object) -> Tensor:
        seen.append(pictures)
        raise Seen

    monkeypatch.setattr(task_module, "augment", look)
    with pytest.raises(Seen):
        make_task(settings, Runtime(group=group)).train_step(number)
    return seen[0]


@pytest.mark.parametrize("condition", ["none", "class", "prompt"])
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_a_step_changes_both_networks(condition: str, spectral_norm: bool) -> None:
    task = make_task(config(condition, model={"spectral_norm": spectral_norm}))
    before = {name: weights(module) for name, module in task.modules().items()}
    metrics = step(task, 0)
    assert metrics.keys() == METRICS
    assert np.isfinite(list(metrics.values())).all()
    assert 0 < metrics["probability_real"] < 1
    assert 0 < metrics["probability_fake"] < 1
    assert set(before) == {"generator", "discriminator", "average"}
    for name, module in task.modules().items():
        assert not equal(before[name], weights(module)), name


def test_the_generators_update_leaves_no_gradient_in_the_discriminator() -> None:
    """Nor does it freeze it: the next step can change it again."""
    task = make_task(config())
    discriminator = task.modules()["discriminator"]
    gradients: list[Tensor] = []
    updater = task.updaters()["discriminator"]
    first = updater.step

    def remember(loss: Tensor) -> Tensor:
        norm = first(loss)
        gradients.extend(p.grad.clone() for p in discriminator.parameters() if p.grad is not None)
        return norm

    updater.step = remember  # type: ignore[method-assign]  # looks over its shoulder
    step(task, 0)
    kept = [p.grad for p in discriminator.parameters()]
    assert all(p.requires_grad for p in discriminator.parameters())
    assert len(kept) == len(gradients)
    for now, then in zip(kept, gradients, strict=True):
        assert now is not None
        assert torch.equal(now, then)


def test_the_discriminator_has_its_own_rate() -> None:
    task = make_task(config(adversarial={"discriminator_lr_factor": 4.0}))
    updaters = task.updaters()
    assert updaters["discriminator"].lr == pytest.approx(4 * updaters["generator"].lr)


def test_mismatched_pictures_weigh_as_configured() -> None:
    losses = [
        step(make_task(config("class", adversarial={"mismatch_weight": share})), 0)
        for share in (0.0, 0.4, 0.8)
    ]
    low, middle, high = (loss["discriminator_loss"] for loss in losses)
    assert middle == pytest.approx((low + high) / 2, rel=1e-5)
    assert low != high


@pytest.mark.parametrize("condition", ["none", "class", "prompt"])
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_resume_gives_bit_equal_weights_with_everything_random_on(
    tmp_path: Path, condition: str, steps: int
) -> None:
    whole = train(config(condition), tmp_path / "whole")
    train(config(condition, run={"max_steps": steps}), tmp_path / "parts")
    torch.randn(5)
    resumed = train(config(condition), tmp_path / "parts", resume=True)
    for name, module in whole.modules().items():
        assert equal(weights(module), weights(resumed.modules()[name])), name
    for split in ("best.pt", "last.pt"):
        assert (tmp_path / "whole" / split).is_file()


def test_resume_goes_on_with_spectral_norms_power_iteration(tmp_path: Path) -> None:
    normed = {"spectral_norm": True}
    whole = train(config(model=normed), tmp_path / "whole")
    train(config(model=normed, run={"max_steps": 2}), tmp_path / "parts")
    resumed = train(config(model=normed), tmp_path / "parts", resume=True)
    assert equal(weights(whole.best_model()), weights(resumed.best_model()))


def test_training_differs_with_another_seed(tmp_path: Path) -> None:
    one = train(config(run={"epochs": 1}), tmp_path / "one")
    two = train(config(run={"epochs": 1, "seed": 2}), tmp_path / "two")
    assert not equal(weights(one.best_model()), weights(two.best_model()))


def test_generated_pictures_become_as_bright_as_the_real_ones() -> None:
    white = LabelledPictures(
        torch.full((16, 1, 16, 16), 255, dtype=torch.uint8),
        torch.zeros(16, dtype=torch.int64),
        torch.zeros(16, 0, dtype=torch.int64),
    )
    settings = config(
        adversarial={"augment": ()},
        optimizer={"name": "adam", "lr": 1e-2, "beta1": 0.5},
        run={"epochs": 20},
    )
    task = DcganTask(settings, PictureSet(white, white, white), Runtime())
    before = task.sheets()["samples"].mean()
    for number in range(task.plan.total_steps):
        step(task, number)
    assert 100 < before < 155
    assert task.sheets()["samples"].mean() > 200


def test_sheet_shows_the_same_noise_at_any_time() -> None:
    task = make_task(config())
    first = task.sheets()["samples"]
    assert first.shape == (8 * 16, 8 * 16, 1)
    assert first.dtype == np.uint8
    torch.randn(5)
    assert np.array_equal(task.sheets()["samples"], first)
    step(task, 0)
    assert not np.array_equal(task.sheets()["samples"], first)


def test_sheet_has_one_condition_a_column() -> None:
    task = make_task(config("class"))
    said: list[Tensor] = []
    generator = task.best_model().generator
    hook = generator.register_forward_pre_hook(lambda module, given: said.append(given[1]))
    task.sheets()
    hook.remove()
    assert said[0].view(8, 8).tolist() == [[0, 1, 0, 1, 0, 1, 0, 1]] * 8


def test_a_sheet_is_written_after_each_epoch(tmp_path: Path) -> None:
    train(config(), tmp_path)
    run = RunDirectory(tmp_path)
    for epoch in (1, 2):
        with Image.open(run.sheet("samples", epoch)) as sheet:
            assert (sheet.size, sheet.mode) == ((128, 128), "L")


def test_the_last_epoch_is_kept(tmp_path: Path) -> None:
    settings = config()
    task = make_task(settings)
    trainer = Trainer(task, settings, RunDirectory(tmp_path), Runtime())
    trainer.fit(Loggers())
    assert trainer.progress.best_step == trainer.progress.step == 6
    assert trainer.progress.best_metrics.keys() == {
        "epoch",
        "probability_seen",
        "probability_held_out",
        "probability_fake",
    }
    assert trainer.progress.best_metrics["epoch"] == 2


def test_the_running_mean_of_the_generator_is_kept_beside_the_discriminator() -> None:
    task = make_task(config())
    for number in range(3):
        step(task, number)
    kept, modules = task.best_model(), task.modules()
    now, then = modules["generator"].state_dict(), kept.generator.state_dict()
    assert not torch.equal(now["layers.0.weight"], then["layers.0.weight"])
    assert kept.discriminator is modules["discriminator"]


def test_without_a_running_mean_the_generator_itself_is_kept() -> None:
    task = make_task(config(regularisation={"ema_decay": 0.0}))
    assert task.best_model().generator is task.modules()["generator"]
    step(task, 0)
    assert set(task.modules()) == {"generator", "discriminator"}


@pytest.mark.parametrize("condition", ["none", "prompt"])
def test_validation_repeats_and_leaves_the_networks_alone(condition: str) -> None:
    task = make_task(config(condition))
    step(task, 0)
    before = weights(task.best_model())
    first = task.validate()
    torch.randn(5)
    assert task.validate() == first
    assert equal(weights(task.best_model()), before)


def test_bfloat16_trains_float32_weights() -> None:
    settings = config("prompt", precision={"compute": "bfloat16", "channels_last": True})
    task = make_task(settings, Runtime(precision=settings.precision))
    metrics = step(task, 0)
    assert {p.dtype for p in task.best_model().parameters()} == {torch.float32}
    exact = step(make_task(config("prompt")), 0)
    # Eight bits of a product's fraction, through four layers and their normalisation.
    assert metrics["discriminator_loss"] == pytest.approx(exact["discriminator_loss"], rel=0.05)


@pytest.mark.parametrize("number", [0, 4])
def test_processes_share_the_real_pictures_of_a_step(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    joint, first, second = (
        real_batch(config("prompt"), monkeypatch, number, ProcessGroup(rank, size))
        for rank, size in ((0, 1), (0, 2), (1, 2))
    )
    assert torch.equal(joint, torch.cat([first, second]))
    assert joint.shape == (8, 1, 16, 16)


def test_half_of_the_pictures_are_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = ProcessGroup()
    mirrored = total = 0
    for number in range(6):
        flipped = real_batch(config(), monkeypatch, number, alone)
        plain = real_batch(config(data={"flip": False}), monkeypatch, number, alone)
        for one, two in zip(flipped, plain, strict=True):
            assert torch.equal(one, two) or torch.equal(one, two.flip(2))
            mirrored += int(not torch.equal(one, two))
            total += 1
    # Four standard deviations of a fair coin thrown 48 times.
    assert mirrored == pytest.approx(total / 2, abs=4 * (total / 4) ** 0.5)


def test_an_epoch_shows_each_picture_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(data={"flip": False})
    batches = [real_batch(settings, monkeypatch, number, ProcessGroup()) for number in (3, 4, 5)]
    shown = {picture.numpy().tobytes() for picture in torch.cat(batches)}
    assert shown == {picture.numpy().tobytes() for picture in to_unit(make_pictures().train.images)}


def test_pixels_survive_the_way_to_the_networks_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    unit = to_unit(levels)
    assert (unit[0].item(), unit[-1].item()) == (-1, 1)
    assert torch.equal(to_pixels(unit), levels)


def test_pixels_are_rounded_and_kept_in_their_range() -> None:
    given = torch.tensor([-1.5, -1.0, -0.999, 0.0, 0.5, 1.0, 1.5])
    assert to_pixels(given).tolist() == [0, 0, 0, 128, 191, 255, 255]


def test_sheet_is_read_like_a_page() -> None:
    images = np.arange(4 * 2 * 1 * 1, dtype=np.uint8).reshape(4, 2, 1, 1).repeat(3, 2).repeat(3, 3)
    sheet = as_sheet(images, 2)
    assert sheet.shape == (6, 6, 2)
    assert sheet[::3, ::3, 0].tolist() == [[0, 2], [4, 6]]
    assert sheet[2, 5].tolist() == [2, 3]


def test_facts_name_the_data_and_the_sizes() -> None:
    facts = make_task(config("class")).facts()
    assert facts["data"] == {"made-up": "0" * 64}
    assert (facts["train_rows"], facts["validation_rows"], facts["left_out"]) == (24, 24, 0)
    assert set(facts["parameters"]) == {"generator", "discriminator"}


def test_family_trains_on_a_folder_of_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for row in range(40):
        pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{row}.png")
    settings = DcganConfig.model_validate(
        {**config().model_dump(), "dataset": "photos", "data_dir": tmp_path}
    )
    task = FAMILY.make_task(settings, Runtime())
    assert step(task, 0).keys() == METRICS
    assert list(task.facts()["data"]) == ["photos"]
