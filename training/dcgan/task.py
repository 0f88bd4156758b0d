"""How family ``dcgan`` is trained and validated."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from training.averaging import make_average
from training.data.batches import epoch_order, rank_slice, steps_per_epoch
from training.dcgan.augment import augment
from training.dcgan.conditions import make_conditions
from training.dcgan.config import DcganConfig
from training.dcgan.model import Discriminator, Generator
from training.dcgan.objective import discriminator_loss, generator_loss
from training.dcgan.pictures import LabelledPictures, PictureSet, load_pictures
from training.nn.initialisation import initialise
from training.nn.schedules import StepPlan
from training.runtime import Runtime
from training.seeding import Stream, make_generator, seed_modules
from training.task import Family, Monitor, Task
from training.updater import Updater

SHEET_SIDE = 8
"""Pictures in a row, and in a column, of a sheet of samples."""
_LOOKED_AT = 512
"""Pictures of which the discriminator's probabilities are taken in validation."""


class DcganNetworks(nn.Module):
    """What is kept of a run: the averaged generator, and the discriminator that judges for it."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator


def to_unit(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 -1..1."""
    return images.float() / 127.5 - 1


def to_pixels(pictures: Tensor) -> Tensor:
    """-1..1 to uint8 0..255, rounded to the nearest, halves to the even."""
    return ((pictures.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class DcganTask(Task):
    """Trains both networks; no number says which epoch is best, so the last one is kept."""

    monitor = Monitor("epoch", "max")

    def __init__(self, config: DcganConfig, data: PictureSet, runtime: Runtime) -> None:
        self._config = config
        self._data = data
        self._runtime = runtime
        batch_size, group = config.data.batch_size, runtime.group
        self.plan = StepPlan(steps_per_epoch(len(data.train), batch_size), config.run.epochs)
        self._slice = rank_slice(batch_size, group.rank, group.size)
        seed_modules(config.run.seed, Stream.INIT)
        self._conditions = make_conditions(config, data)
        symbols = self._conditions.symbols if self._conditions else 0
        generator, discriminator = (
            kind(config.model, symbols) for kind in (Generator, Discriminator)
        )
        initialise(generator, config.init, "relu")
        initialise(discriminator, config.init, "leaky_relu")
        self._generator = cast(Generator, runtime.place(generator))
        self._discriminator = cast(Discriminator, runtime.place(discriminator))
        self._average = make_average(self._generator, config.regularisation.ema_decay)
        lr = config.optimizer.lr * config.adversarial.discriminator_lr_factor
        theirs = config.model_copy(
            update={"optimizer": config.optimizer.model_copy(update={"lr": lr})}
        )
        self._updaters = {
            "generator": Updater([self._generator], config, self.plan, runtime),
            "discriminator": Updater([self._discriminator], theirs, self.plan, runtime),
        }
        self._order: tuple[int, Tensor] | None = None

    def modules(self) -> Mapping[str, nn.Module]:
        """Both networks, and the generator's running mean where there is one."""
        average = {"average": self._average} if self._average is not None else {}
        return {
            "generator": self._generator,
            "discriminator": self._discriminator,
            **average,
        }

    def updaters(self) -> Mapping[str, Updater]:
        """One for each network."""
        return self._updaters

    def best_model(self) -> DcganNetworks:
        """The generator's running mean where there is one, and the discriminator."""
        generator = self._generator if self._average is None else self._average.module
        return DcganNetworks(generator, self._discriminator)

    def rows_per_step(self) -> int:
        """Real pictures of the joint batch."""
        return self._config.data.batch_size

    def facts(self) -> Mapping[str, Any]:
        """Checksums of the data, its classes, pictures left out, sizes of splits and networks."""
        data = self._data
        return {
            "data": dict(data.checksums),
            "classes": list(data.classes),
            "left_out": data.faults,
            "train_rows": len(data.train),
            "validation_rows": len(data.validation),
            "parameters": {
                "generator": sum(p.numel() for p in self._generator.parameters()),
                "discriminator": sum(p.numel() for p in self._discriminator.parameters()),
            },
        }

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """One update of the discriminator, then one of the generator, on the same samples."""
        config, policies = self._config.adversarial, self._config.adversarial.augment
        batch = self._batch(step)
        z = torch.randn(len(batch.real), self._config.model.latent, device=self._runtime.device)
        self._generator.train()
        self._discriminator.train()
        with self._runtime.autocast():
            fake = self._generator(z, batch.said)
            seen = augment(batch.real, policies)
            of_real = self._discriminator(seen, batch.said).float()
            of_fake = self._discriminator(augment(fake.detach(), policies), batch.said).float()
            of_wrong = None
            if batch.wrong is not None and batch.false is not None:
                of_wrong = self._discriminator(seen, batch.wrong).float()[batch.false]
        loss = discriminator_loss(config, of_real, of_fake, of_wrong)
        norm = self._updaters["discriminator"].step(loss)
        self._discriminator.requires_grad_(False)
        with self._runtime.autocast():
            judged = self._discriminator(augment(fake, policies), batch.said).float()
        own_loss = generator_loss(config, judged)
        own_norm = self._updaters["generator"].step(own_loss)
        self._discriminator.requires_grad_(True)
        if self._average is not None:
            self._average.update_parameters(self._generator)
        return {
            "discriminator_loss": loss.detach(),
            "generator_loss": own_loss.detach(),
            "probability_real": of_real.detach().sigmoid().mean(),
            "probability_fake": of_fake.detach().sigmoid().mean(),
            "discriminator_gradient_norm": norm,
            "generator_gradient_norm": own_norm,
        }

    @torch.inference_mode()
    def validate(self) -> Mapping[str, float]:
        """What the discriminator thinks of pictures it learned from, held-out ones, and samples.

        Seen far above held out is overfitting of the discriminator (Karras et al. 2020, section 3).
        """
        networks = self.best_model().eval()
        train, held_out = self._data.train, self._data.validation
        generator = make_generator(self._config.run.seed, Stream.ORDER)
        rows = torch.randperm(min(len(train), len(held_out)), generator=generator)[:_LOOKED_AT]
        with self._runtime.autocast():
            said = self._true_conditions(held_out, rows)
            fake = networks.generator(self._noise(len(rows)), said)
            of_fake = networks.discriminator(fake, said).float().sigmoid().mean()
        return {
            "epoch": self._updaters["generator"].steps / self.plan.steps_per_epoch,
            "probability_seen": self._judged(networks, train, rows),
            "probability_held_out": self._judged(networks, held_out, rows),
            "probability_fake": float(of_fake),
        }

    @torch.inference_mode()
    def sheets(self) -> Mapping[str, npt.NDArray[np.uint8]]:
        """The same 64 samples after each epoch, by class or prompt where there are any."""
        count = SHEET_SIDE**2
        networks = self.best_model().eval()
        said = None
        if self._conditions is not None:
            said = self._conditions.tensor(self._conditions.spread(count, SHEET_SIDE))
            said = said.to(self._runtime.device)
        with self._runtime.autocast():
            pictures = networks.generator(self._noise(count), said)
        return {"samples": as_sheet(to_pixels(pictures).cpu().numpy(), SHEET_SIDE)}

    def _judged(self, networks: DcganNetworks, split: LabelledPictures, rows: Tensor) -> float:
        """Mean probability of "real" that some real pictures get."""
        said = self._true_conditions(split, rows)
        images = self._in_format(to_unit(split.images[rows].to(self._runtime.device)))
        with self._runtime.autocast():
            return float(networks.discriminator(images, said).float().sigmoid().mean())

    def _noise(self, rows: int) -> Tensor:
        """The same z [rows, Z] whenever it is asked for."""
        generator = make_generator(self._config.run.seed, Stream.STEP)
        return torch.randn(rows, self._config.model.latent, generator=generator).to(
            self._runtime.device
        )

    def _batch(self, step: int) -> "_Batch":
        """What this process learns from at ``step``."""
        size, seed = self._config.data.batch_size, self._config.run.seed
        epoch, index = divmod(step, self.plan.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, epoch_order(seed, epoch, len(self._data.train)))
        joint = self._order[1][index * size : (index + 1) * size]
        generator = make_generator(seed, Stream.AUGMENT, step)
        mirrored = torch.rand(size, generator=generator) < 0.5
        images = self._data.train.images[joint[self._slice]]
        if self._config.data.flip:
            images = torch.where(mirrored[self._slice, None, None, None], images.flip(3), images)
        device, conditions = self._runtime.device, self._conditions
        real = self._in_format(to_unit(images.to(device)))
        if conditions is None:
            return _Batch(real)
        said = conditions.draw(self._data.train, joint, generator)
        wrong, false = conditions.draw_wrong(self._data.train, joint, said, generator)
        return _Batch(
            real,
            conditions.tensor(said[self._slice]).to(device),
            conditions.tensor(wrong[self._slice]).to(device),
            false[self._slice].to(device),
        )

    def _true_conditions(self, split: LabelledPictures, rows: Tensor) -> Tensor | None:
        """Of ``rows``, the same whenever they are asked for."""
        if self._conditions is None:
            return None
        generator = make_generator(self._config.run.seed, Stream.AUGMENT)
        said = self._conditions.draw(split, rows, generator)
        return self._conditions.tensor(said).to(self._runtime.device)

    def _in_format(self, images: Tensor) -> Tensor:
        if self._config.precision.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images


@dataclass(frozen=True, slots=True)
class _Batch:
    real: Tensor
    """float32 [B, C, S, S], -1 to 1."""
    said: Tensor | None = None
    """A condition that is true of each, as the networks take it."""
    wrong: Tensor | None = None
    """One that may not be."""
    false: Tensor | None = None
    """bool [B]: whether it is not."""


def as_sheet(images: npt.NDArray[np.uint8], columns: int) -> npt.NDArray[np.uint8]:
    """Pictures uint8 [N, C, S, S] side by side, [rows * S, columns * S, C]; N fills whole rows."""
    count, channels, side, _ = images.shape
    rows = count // columns
    grid = images.reshape(rows, columns, channels, side, side).transpose(0, 3, 1, 4, 2)
    return grid.reshape(rows * side, columns * side, channels)


class DcganFamily(Family[DcganConfig]):
    """Family ``dcgan``."""

    name = "dcgan"
    schema = DcganConfig

    def recipe(self, config: DcganConfig) -> Mapping[str, Any]:
        """What ``recipes/digits.toml`` says of MNIST, and ``recipes/faces.toml`` of all else."""
        name = "digits" if config.dataset == "mnist" else "faces"
        file = resources.files("training.dcgan") / "recipes" / f"{name}.toml"
        return tomllib.loads(file.read_text(encoding="utf-8"))

    def run_name(self, config: DcganConfig) -> str:
        """Data, condition and seed."""
        data, condition = Path(config.dataset).stem, config.model.condition
        kind = "" if condition == "none" else f"-{condition}"
        return f"{data}{kind}-seed{config.run.seed}"

    def make_task(self, config: DcganConfig, runtime: Runtime) -> DcganTask:
        """Read the pictures and build the networks. One process downloads, the others wait."""
        if not runtime.group.leads:
            runtime.group.barrier()
        data = load_pictures(config)
        if runtime.group.leads:
            runtime.group.barrier()
        return DcganTask(config, data, runtime)


FAMILY = DcganFamily()
"""For ``training.registry``."""
