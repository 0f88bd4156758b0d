"""How family ``encoder`` is trained and validated."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from training.averaging import make_average
from training.checkpoint import CheckpointError, load_checkpoint
from training.data.batches import epoch_order, rank_slice, steps_per_epoch
from training.data.tiny_imagenet import TinyImageNet, load_tiny_imagenet
from training.encoder.config import EncoderConfig
from training.nn.losses import make_loss
from training.nn.schedules import StepPlan
from training.rundir import RunDirectory, read_run
from training.runtime import Runtime
from training.seeding import Stream, make_generator, seed_modules
from training.task import Family, Monitor, Task
from training.updater import Updater
from training.vision.classifier import EncoderClassifier
from training.vision.resnet import ResidualEncoder
from training.vision.views import draw_crops, draw_jitter, plain_views, random_views


def load_trained(run_dir: Path) -> tuple[EncoderConfig, EncoderClassifier]:
    """The configuration and the best model of a run, in eval mode on the CPU.

    Raises:
        ConfigError: ``run_dir`` is no run of family ``encoder``.
        CheckpointError: best.pt is missing, damaged or of another model.
    """
    run = RunDirectory(run_dir)
    config = read_run(run, "encoder", EncoderConfig)
    try:
        weights = load_checkpoint(run.best)["model"]
        classes = len(weights["classifier.1.bias"])
        encoder = ResidualEncoder(config.model.channels, config.model.blocks)
        model = EncoderClassifier(encoder, encoder.channels, classes, 0.0)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{run.best} does not fit its config.json: {error}") from error
    return config, model.eval()


class EncoderTask(Task):
    """Trains one classifier; accuracy on the validation split decides."""

    monitor = Monitor("accuracy", "max")

    def __init__(self, config: EncoderConfig, data: TinyImageNet, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self._data = data
        batch_size, group = config.data.batch_size, runtime.group
        self.plan = StepPlan(steps_per_epoch(len(data.train), batch_size), config.run.epochs)
        self._slice = rank_slice(batch_size, group.rank, group.size)
        seed_modules(config.run.seed, Stream.INIT)
        encoder = ResidualEncoder(config.model.channels, config.model.blocks)
        model = EncoderClassifier(
            encoder, encoder.channels, len(data.classes), config.regularisation.dropout
        )
        self._model = cast(EncoderClassifier, runtime.place(model))
        self._average = make_average(self._model, config.regularisation.ema_decay)
        self._loss = make_loss(config.loss)
        self._updater = Updater([self._model], config, self.plan, runtime)
        self._order: tuple[int, Tensor] | None = None

    def modules(self) -> Mapping[str, nn.Module]:
        """The model, and its running mean where there is one."""
        average = {"average": self._average} if self._average is not None else {}
        return {"model": self._model, **average}

    def updaters(self) -> Mapping[str, Updater]:
        """The model's one updater."""
        return {"model": self._updater}

    def best_model(self) -> nn.Module:
        """The running mean of the model where there is one, else the model."""
        return self._model if self._average is None else self._average.module

    def rows_per_step(self) -> int:
        """Rows of the joint batch."""
        return self._config.data.batch_size

    def facts(self) -> Mapping[str, Any]:
        """Checksum of the data, pictures left out, sizes of splits and model."""
        data = self._data
        return {
            "data": {"tiny-imagenet-200": data.checksum},
            "left_out": dict(data.faults),
            "train_rows": len(data.train),
            "validation_rows": len(data.validation),
            "classes": len(data.classes),
            "parameters": sum(p.numel() for p in self._model.parameters()),
        }

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """One update on this process's slice of batch ``step``."""
        images, labels = self._batch(step)
        self._model.train()
        with self._runtime.autocast():
            scores = self._model(images)
        loss = self._loss(scores.float(), labels)
        norm = self._updater.step(loss)
        if self._average is not None:
            self._average.update_parameters(self._model)
        correct = (scores.detach().argmax(dim=1) == labels).float().mean()
        return {"loss": loss.detach(), "accuracy": correct, "gradient_norm": norm}

    @torch.inference_mode()
    def validate(self) -> Mapping[str, float]:
        """The loss, and the share of pictures whose class is first or among the first five."""
        model, group = self.best_model().eval(), self._runtime.group
        device, data = self._runtime.device, self._config.data
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        rows = slice(group.rank, None, group.size)
        split = self._data.validation
        batches = (
            torch.split(split.images[rows], data.validation_batch_size),
            torch.split(split.labels[rows], data.validation_batch_size),
        )
        for pictures, classes in zip(*batches, strict=True):
            labels = classes.to(device)
            with self._runtime.autocast():
                views = self._format(plain_views(pictures.to(device), data.validation_side))
                scores = model(views).float()
            hits = scores.topk(min(5, scores.shape[1])).indices == labels.unsqueeze(1)
            sums[0] += self._loss(scores, labels) * len(labels)
            sums[1] += hits[:, 0].sum()
            sums[2] += hits.any(dim=1).sum()
        loss, accuracy, top5 = (group.sum(sums) / len(split)).tolist()
        return {"loss": loss, "accuracy": accuracy, "top5_accuracy": top5}

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Views and labels of this process at ``step``."""
        data, seed = self._config.data, self._config.run.seed
        epoch, index = divmod(step, self.plan.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, epoch_order(seed, epoch, len(self._data.train)))
        joint = self._order[1][index * data.batch_size : (index + 1) * data.batch_size]
        rows, device = joint[self._slice], self._runtime.device
        generator = make_generator(seed, Stream.AUGMENT, step)
        maps = draw_crops(data.crop, data.batch_size, generator)[self._slice]
        jitter = draw_jitter(data.crop, data.batch_size, generator)[self._slice]
        side = data.sides[epoch * len(data.sides) // self.plan.epochs]
        images = self._data.train.images[rows].to(device)
        views = random_views(images, maps, jitter, side)
        return self._format(views), self._data.train.labels[rows].to(device)

    def _format(self, images: Tensor) -> Tensor:
        if self._config.precision.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images


class EncoderFamily(Family[EncoderConfig]):
    """Family ``encoder``."""

    name = "encoder"
    schema = EncoderConfig

    def recipe(self, config: EncoderConfig) -> Mapping[str, Any]:
        """What ``recipes/classes.toml`` says."""
        file = resources.files("training.encoder") / "recipes" / "classes.toml"
        return tomllib.loads(file.read_text(encoding="utf-8"))

    def run_name(self, config: EncoderConfig) -> str:
        """Width of the first stage, and seed."""
        return f"resnet-w{config.model.channels[0]}-seed{config.run.seed}"

    def make_task(self, config: EncoderConfig, runtime: Runtime) -> EncoderTask:
        """Read Tiny-ImageNet and build the model."""
        return EncoderTask(config, load_tiny_imagenet(config.data_dir), runtime)


FAMILY = EncoderFamily()
"""For ``training.registry``."""
