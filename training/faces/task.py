"""How family ``faces`` is trained and validated."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from training.checkpoint import CheckpointError, load_checkpoint
from training.data.utkface import Split, UtkFace, load_utkface
from training.faces.config import FacesConfig
from training.faces.model import AGES, FaceAttributes, expected_age
from training.rundir import RunDirectory, read_run
from training.runtime import Runtime
from training.seeding import Stream, seed_modules
from training.task import Family, Monitor
from training.vision.photo_task import PhotoTask
from training.vision.views import plain_views


def load_trained(run_dir: Path) -> tuple[FacesConfig, FaceAttributes]:
    """The configuration and the best model of a run, in eval mode on the CPU.

    Raises:
        ConfigError: ``run_dir`` is no run of family ``faces``.
        CheckpointError: best.pt is missing, damaged or of another model.
    """
    run = RunDirectory(run_dir)
    config = read_run(run, "faces", FacesConfig)
    model = FaceAttributes(config.model, 0.0)
    try:
        model.load_state_dict(load_checkpoint(run.best)["model"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{run.best} does not fit its config.json: {error}") from error
    return config, model.eval()


class FacesTask(PhotoTask[FacesConfig, FaceAttributes]):
    """Trains one network for both labels; the mean error of the age decides."""

    monitor = Monitor("age_error_years", "min")

    def __init__(self, config: FacesConfig, data: UtkFace, runtime: Runtime) -> None:
        seed_modules(config.run.seed, Stream.INIT)
        model = FaceAttributes(config.model, config.regularisation.dropout)
        super().__init__(config, model, len(data.train), runtime)
        self._data = data

    def facts(self) -> Mapping[str, Any]:
        """Checksum of the data, pictures left out, sizes of splits and model."""
        data = self._data
        return {
            "data": {"utkface": data.checksum},
            "left_out": len(data.faults),
            "train_rows": len(data.train),
            "validation_rows": len(data.validation),
            "parameters": sum(p.numel() for p in self._model.parameters()),
        }

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """One update on this process's slice of batch ``step``."""
        config, split, device = self._config, self._data.train, self._runtime.device
        rows = self.batch_rows(step)
        ages, female = split.ages[rows].to(device), split.female[rows].to(device)
        self._model.train()
        with self._runtime.autocast():
            gender, bins = self._model(self.views(step, split.images[rows], config.data))
        gender_loss = functional.binary_cross_entropy_with_logits(gender, female.float())
        age_loss = functional.cross_entropy(bins, ages.clamp(max=AGES - 1))
        error = (expected_age(bins) - ages).abs().mean()
        loss = gender_loss + config.age_weight * age_loss + config.age_error_weight * error
        norm = self.update(loss)
        return {
            "loss": loss.detach(),
            "gender_accuracy": ((gender.detach() > 0) == female).float().mean(),
            "age_error_years": error.detach(),
            "gradient_norm": norm,
        }

    @torch.inference_mode()
    def validate(self) -> Mapping[str, float]:
        """Share of genders told as labelled, and mean error of the age, years."""
        model, group, device = self.best_model().eval(), self._runtime.group, self._runtime.device
        data, split = self._config.data, self._data.validation
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        mine = torch.arange(group.rank, len(split), group.size)
        for rows in torch.split(mine, data.validation_batch_size):
            with self._runtime.autocast():
                views = plain_views(split.images[rows].to(device), data.validation_side)
                gender, bins = cast(FaceAttributes, model)(self.in_format(views))
            sums[0] += ((gender > 0) == split.female[rows].to(device)).sum()
            sums[1] += (expected_age(bins) - split.ages[rows].to(device)).abs().sum()
        accuracy, error = (group.sum(sums) / len(split)).tolist()
        return {"gender_accuracy": accuracy, "age_error_years": error}


def attributes_of(split: Split, model: FaceAttributes, side: int) -> tuple[Tensor, Tensor]:
    """Probability of "female" and age in years, float32 [N] each, that ``model`` gives a split."""
    gender, ages = [], []
    with torch.inference_mode():
        for images in torch.split(split.images, 250):
            logits, bins = model(plain_views(images, side))
            gender.append(logits.sigmoid())
            ages.append(expected_age(bins))
    return torch.cat(gender), torch.cat(ages)


class FacesFamily(Family[FacesConfig]):
    """Family ``faces``."""

    name = "faces"
    schema = FacesConfig

    def recipe(self, config: FacesConfig) -> Mapping[str, Any]:
        """What ``recipes/attributes.toml`` says."""
        file = resources.files("training.faces") / "recipes" / "attributes.toml"
        return tomllib.loads(file.read_text(encoding="utf-8"))

    def run_name(self, config: FacesConfig) -> str:
        """Width of the first stage, and seed."""
        return f"resnet-w{config.model.channels[0]}-seed{config.run.seed}"

    def make_task(self, config: FacesConfig, runtime: Runtime) -> FacesTask:
        """Read UTKFace and build the model."""
        return FacesTask(config, load_utkface(config.data_dir), runtime)


FAMILY = FacesFamily()
"""For ``training.registry``."""
