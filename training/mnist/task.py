"""How family ``mnist`` is trained and validated."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.checkpoint import CheckpointError, load_checkpoint
from training.data.augment import draw_affine
from training.data.mnist import Mnist, load_mnist
from training.mnist.config import MnistConfig
from training.mnist.data import prepare
from training.mnist.model import build_model
from training.nn.losses import make_loss
from training.rundir import RunDirectory, read_run
from training.runtime import Runtime
from training.seeding import Stream, make_generator, seed_modules
from training.single_task import SingleModelTask
from training.task import Family, Monitor


def load_trained(run_dir: Path) -> tuple[MnistConfig, nn.Module]:
    """The configuration and the best model of a run, in eval mode on the CPU.

    Raises:
        ConfigError: ``run_dir`` is no run of family ``mnist``.
        CheckpointError: best.pt is missing, damaged or of another model.
    """
    run = RunDirectory(run_dir)
    config = read_run(run, "mnist", MnistConfig)
    model = build_model(config)
    try:
        model.load_state_dict(load_checkpoint(run.best)["model"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{run.best} does not fit its config.json: {error}") from error
    return config, model.eval()


class MnistTask(SingleModelTask[MnistConfig, nn.Module]):
    """Trains one classifier with one optimiser; accuracy on the validation split decides."""

    monitor = Monitor("accuracy", "max")

    def __init__(self, config: MnistConfig, data: Mnist, runtime: Runtime) -> None:
        seed_modules(config.run.seed, Stream.INIT)
        super().__init__(config, build_model(config), len(data.train), runtime)
        self._checksums = dict(data.checksums)
        self._train = data.train.to(runtime.device)
        self._validation = data.validation.to(runtime.device)
        self._loss = make_loss(config.loss)

    def facts(self) -> Mapping[str, Any]:
        """Checksums of the data, sizes of splits and model."""
        return {
            "data": self._checksums,
            "train_rows": len(self._train),
            "validation_rows": len(self._validation),
            "parameters": sum(p.numel() for p in self._model.parameters()),
        }

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """One update on this process's slice of batch ``step``."""
        images, labels = self._batch(step)
        self._model.train()
        with self._runtime.autocast():
            scores = self._model(images)
        loss = self._loss(scores.float(), labels)
        norm = self.update(loss)
        correct = (scores.detach().argmax(dim=1) == labels).float().mean()
        return {"loss": loss.detach(), "accuracy": correct, "gradient_norm": norm}

    @torch.inference_mode()
    def validate(self) -> Mapping[str, float]:
        """The configured loss and the accuracy (0 to 1) on the validation split."""
        model, group = self.best_model().eval(), self._runtime.group
        sums = torch.zeros(2, dtype=torch.float64, device=self._runtime.device)
        size = self._config.data.validation_batch_size
        rows = slice(group.rank, None, group.size)
        pictures, digits = self._validation.images[rows], self._validation.labels[rows]
        batches = (torch.split(pictures, size), torch.split(digits, size))
        for images, labels in zip(*batches, strict=True):
            with self._runtime.autocast():
                scores = model(self.in_format(prepare(images))).float()
            sums[0] += self._loss(scores, labels) * len(labels)
            sums[1] += (scores.argmax(dim=1) == labels).sum()
        loss, accuracy = (group.sum(sums) / len(self._validation)).tolist()
        return {"loss": loss, "accuracy": accuracy}

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Pictures and labels of this process at ``step``, distorted."""
        data = self._config.data
        rows = self.batch_rows(step).to(self._runtime.device)
        maps = None
        if data.augmentation.enabled:
            generator = make_generator(self._config.run.seed, Stream.AUGMENT, step)
            maps = draw_affine(data.augmentation, data.batch_size, generator)[self._slice]
        return self.in_format(prepare(self._train.images[rows], maps)), self._train.labels[rows]


class MnistFamily(Family[MnistConfig]):
    """Family ``mnist``."""

    name = "mnist"
    schema = MnistConfig

    def recipe(self, config: MnistConfig) -> Mapping[str, Any]:
        """What ``recipes/<arch>.toml`` says."""
        file = resources.files("training.mnist") / "recipes" / f"{config.model.arch}.toml"
        return tomllib.loads(file.read_text(encoding="utf-8"))

    def run_name(self, config: MnistConfig) -> str:
        """Architecture and seed."""
        return f"{config.model.arch}-seed{config.run.seed}"

    def make_task(self, config: MnistConfig, runtime: Runtime) -> MnistTask:
        """Read MNIST and build the model. One process downloads, the others wait for it."""
        if not runtime.group.leads:
            runtime.group.barrier()
        data = load_mnist(
            config.data_dir, download_missing=config.download, verify=config.data.verify
        )
        if runtime.group.leads:
            runtime.group.barrier()
        return MnistTask(config, data, runtime)


FAMILY = MnistFamily()
"""For ``training.registry``."""
