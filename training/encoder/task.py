"""How family ``encoder`` is trained and validated."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.checkpoint import CheckpointError, load_checkpoint
from training.data.tiny_imagenet import TinyImageNet, load_tiny_imagenet
from training.encoder.config import EncoderConfig
from training.nn.losses import make_loss
from training.rundir import RunDirectory, read_run
from training.runtime import Runtime
from training.seeding import Stream, seed_modules
from training.task import Family, Monitor
from training.vision.classifier import EncoderClassifier
from training.vision.photo_task import PhotoTask
from training.vision.resnet import ResidualEncoder
from training.vision.views import plain_views


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


class EncoderTask(PhotoTask[EncoderConfig, EncoderClassifier]):
    """Trains one classifier; accuracy on the validation split decides."""

    monitor = Monitor("accuracy", "max")

    def __init__(self, config: EncoderConfig, data: TinyImageNet, runtime: Runtime) -> None:
        seed_modules(config.run.seed, Stream.INIT)
        encoder = ResidualEncoder(config.model.channels, config.model.blocks)
        model = EncoderClassifier(
            encoder, encoder.channels, len(data.classes), config.regularisation.dropout
        )
        super().__init__(config, model, len(data.train), runtime)
        self._data = data
        self._loss = make_loss(config.loss)

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
        rows, split = self.batch_rows(step), self._data.train
        images, labels = self.views(step, split.images[rows], self._config.data), split.labels[rows]
        labels = labels.to(self._runtime.device)
        self._model.train()
        with self._runtime.autocast():
            scores = self._model(images)
        loss = self._loss(scores.float(), labels)
        norm = self.update(loss)
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
                views = self.in_format(plain_views(pictures.to(device), data.validation_side))
                scores = model(views).float()
            hits = scores.topk(min(5, scores.shape[1])).indices == labels.unsqueeze(1)
            sums[0] += self._loss(scores, labels) * len(labels)
            sums[1] += hits[:, 0].sum()
            sums[2] += hits.any(dim=1).sum()
        loss, accuracy, top5 = (group.sum(sums) / len(split)).tolist()
        return {"loss": loss, "accuracy": accuracy, "top5_accuracy": top5}


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
