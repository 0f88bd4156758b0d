"""How family ``text`` is trained and validated."""

import math
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from training.averaging import make_average
from training.checkpoint import CheckpointError, load_checkpoint
from training.data.batches import rank_slice
from training.nn.losses import make_loss
from training.nn.schedules import StepPlan
from training.rundir import RunDirectory, read_run
from training.runtime import Runtime
from training.seeding import Stream, seed_modules
from training.task import Family, Monitor, Task
from training.text.config import TextConfig
from training.text.data import KNOWN, Corpus, load_corpus
from training.text.model import CharModel, build_model
from training.text.streams import CarriedState, StreamPlan, cut_streams, epoch_start, summed_loss
from training.updater import Updater


def load_trained(run_dir: Path) -> tuple[TextConfig, CharModel]:
    """The configuration and the best model of a run, in eval mode on the CPU.

    The vocabulary is the checkpoint's, so no text is read.

    Raises:
        ConfigError: ``run_dir`` is no run of family ``text``.
        CheckpointError: best.pt is missing, damaged or of another model.
    """
    run = RunDirectory(run_dir)
    config = read_run(run, "text", TextConfig)
    try:
        weights = load_checkpoint(run.best)["model"]
        model = build_model(config, [chr(point) for point in weights["code_points"].tolist()])
        model.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{run.best} does not fit its config.json: {error}") from error
    return config, model.eval()


class TextTask(Task):
    """Trains one model with one optimiser; the loss on the validation split decides."""

    monitor = Monitor("loss", "min")

    def __init__(self, config: TextConfig, corpus: Corpus, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self._corpus = corpus
        data, group = config.data, runtime.group
        self._text = corpus.train.to(runtime.device)
        self._streams = StreamPlan(len(corpus.train), data.batch_size, data.sequence_length)
        self._rows = rank_slice(data.batch_size, group.rank, group.size)
        self.plan = StepPlan(self._streams.steps_per_epoch, config.run.epochs)
        inputs, targets = cut_streams(corpus.validation.to(runtime.device), data.validation_streams)
        own = slice(group.rank, None, group.size)
        self._validation = (inputs[own], targets[own])
        seed_modules(config.run.seed, Stream.INIT)
        model = build_model(config, corpus.symbols)
        carried = CarriedState(model, data.batch_size, corpus.checksum)
        self._model, self._carried = model.to(runtime.device), carried.to(runtime.device)
        self._average = make_average(self._model, config.regularisation.ema_decay)
        self._loss = make_loss(config.loss)
        self._updater = Updater([self._model], config, self.plan, runtime)

    def modules(self) -> Mapping[str, nn.Module]:
        """The model, the state it carries, and its running mean where there is one."""
        average = {"average": self._average} if self._average is not None else {}
        return {"model": self._model, "carried": self._carried, **average}

    def updaters(self) -> Mapping[str, Updater]:
        """The model's one updater."""
        return {"model": self._updater}

    def best_model(self) -> CharModel:
        """The running mean of the model where there is one, else the model."""
        if self._average is None:
            return self._model
        return cast(CharModel, self._average.module)

    def rows_per_step(self) -> int:
        """Characters of the joint batch."""
        return self._config.data.batch_size * self._config.data.sequence_length

    def facts(self) -> Mapping[str, Any]:
        """Checksum of the text, sizes of splits, vocabulary and model."""
        corpus = self._corpus
        return {
            "data": {corpus.name: corpus.checksum},
            "train_characters": len(corpus.train),
            "validation_characters": len(corpus.validation),
            "test_characters": len(corpus.test),
            "symbols": len(corpus.symbols),
            "parameters": sum(p.numel() for p in self._model.parameters()),
        }

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """One update on this process's streams at ``step``."""
        epoch, index = divmod(step, self.plan.steps_per_epoch)
        if index == 0:
            self._carried.reset()
        start = epoch_start(self._config.run.seed, epoch, len(self._text))
        inputs, targets = self._streams.batch(self._text, start, index, self._rows)
        self._model.train()
        with self._runtime.autocast():
            logits, state = self._model(inputs, self._carried.read(self._rows))
        loss = self._loss(logits.float().flatten(0, 1), targets.flatten())
        norm = self._updater.step(loss)
        self._carried.keep(state, self._rows, self._runtime.group.sum)
        if self._average is not None:
            self._average.update_parameters(self._model)
        return {"loss": loss.detach(), "gradient_norm": norm}

    @torch.inference_mode()
    def validate(self) -> Mapping[str, float]:
        """Mean -ln p of a validation character (nats), the same in bits, and its exponential."""
        model, group = self.best_model().eval(), self._runtime.group
        piece = self._config.data.validation_batch_size
        total = torch.zeros((), dtype=torch.float64, device=self._runtime.device)
        if len(self._validation[0]):  # there may be more processes than streams
            total += summed_loss(model, self._validation, piece, self._runtime.autocast)
        loss = float(group.sum(total)) / (len(self._corpus.validation) - 1)
        return {
            "loss": loss,
            "bits_per_character": loss / math.log(2),
            "perplexity": math.exp(loss),
        }


class TextFamily(Family[TextConfig]):
    """Family ``text``."""

    name = "text"
    schema = TextConfig

    def recipe(self, config: TextConfig) -> Mapping[str, Any]:
        """What ``recipes/<cell>-<width>.toml`` says, or ``recipes/<cell>.toml`` without that."""
        folder = resources.files("training.text") / "recipes"
        file = folder / f"{config.model.cell}-{config.model.width}.toml"
        if not file.is_file():
            file = folder / f"{config.model.cell}.toml"
        return tomllib.loads(file.read_text(encoding="utf-8"))

    def run_name(self, config: TextConfig) -> str:
        """Text, cell, width and seed; letters of any script, for a text may be called so."""
        text = config.corpus if config.corpus in KNOWN else Path(config.corpus).stem
        plain = re.sub(r"[^\w.-]+", "-", text).strip("-.") or "text"
        return f"{plain}-{config.model.cell}{config.model.width}-seed{config.run.seed}"

    def make_task(self, config: TextConfig, runtime: Runtime) -> TextTask:
        """Read the text and build the model. One process downloads, the others wait for it."""
        if not runtime.group.leads:
            runtime.group.barrier()
        corpus = load_corpus(config)
        if runtime.group.leads:
            runtime.group.barrier()
        return TextTask(config, corpus, runtime)


FAMILY = TextFamily()
"""For ``training.registry``."""
