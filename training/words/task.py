"""How family ``words`` is trained and validated."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.checkpoint import CheckpointError, load_checkpoint
from training.data.captioned_images import CaptionedImages, load_captioned_images
from training.rundir import RunDirectory, read_run
from training.runtime import Runtime
from training.seeding import Stream, seed_modules
from training.task import Family, Monitor
from training.vision.classifier import EncoderClassifier
from training.vision.photo_task import PhotoTask
from training.vision.pretrained import load_encoder, make_encoder
from training.vision.views import plain_views
from training.words.config import WordsConfig
from training.words.targets import choose_words, mean_average_precision, word_targets


def load_trained(run_dir: Path) -> tuple[WordsConfig, EncoderClassifier]:
    """The configuration and the best model of a run, in eval mode on the CPU.

    Raises:
        ConfigError: ``run_dir`` is no run of family ``words``.
        CheckpointError: best.pt is missing, damaged or of another model.
    """
    run = RunDirectory(run_dir)
    config = read_run(run, "words", WordsConfig)
    try:
        weights = load_checkpoint(run.best)["model"]
        words = len(weights["classifier.1.bias"])
        made = make_encoder(config.encoder, config.model)
        model = EncoderClassifier(made.encoder, made.channels, words, 0.0)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{run.best} does not fit its config.json: {error}") from error
    return config, model.eval()


class WordsTask(PhotoTask[WordsConfig, EncoderClassifier]):
    """Trains encoder and classifier with one optimiser; mean average precision decides."""

    monitor = Monitor("mean_average_precision", "max")

    def __init__(self, config: WordsConfig, images: CaptionedImages, runtime: Runtime) -> None:
        data = config.data
        self._images = images
        self._words = choose_words(images.train.captions, data.words)
        self._targets = word_targets(images.train.captions, self._words, data.agreement)
        self._shown = word_targets(images.validation.captions, self._words, data.agreement)
        seed_modules(config.run.seed, Stream.INIT)
        source = load_encoder(config.encoder, config.model)
        self._source = source.facts
        model = EncoderClassifier(
            source.encoder, source.channels, len(self._words), config.regularisation.dropout
        )
        _start_at_base_rates(cast(nn.Linear, model.classifier[1]), self._targets)
        super().__init__(config, model, len(images.train), runtime)

    def facts(self) -> Mapping[str, Any]:
        """Checksum of the data, what was left out of it, where the encoder came from, the words."""
        images = self._images
        return {
            "data": {images.name: images.checksum},
            "left_out": dict(images.dropped),
            "start": dict(self._source),
            "train_rows": len(images.train),
            "validation_rows": len(images.validation),
            "words": list(self._words),
            "parameters": sum(p.numel() for p in self._model.parameters()),
        }

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """One update on this process's slice of batch ``step``."""
        rows = self.batch_rows(step)
        images = self.views(step, self._images.train.images[rows], self._config.data)
        targets = self._targets[rows].to(self._runtime.device)
        self._model.train()
        with self._runtime.autocast():
            scores = self._model(images)
        loss = functional.binary_cross_entropy_with_logits(scores.float(), targets)
        norm = self.update(loss)
        return {"loss": loss.detach(), "gradient_norm": norm}

    @torch.inference_mode()
    def validate(self) -> Mapping[str, float]:
        """The loss, and the mean average precision over words, on the validation split."""
        model, data = self.best_model().eval(), self._config.data
        scores = []
        for pictures in torch.split(self._images.validation.images, data.validation_batch_size):
            views = plain_views(pictures.to(self._runtime.device), data.validation_side)
            with self._runtime.autocast():
                scores.append(model(self.in_format(views)).float().cpu())
        joint = torch.cat(scores)
        loss = functional.binary_cross_entropy_with_logits(joint, self._shown)
        precision = mean_average_precision(joint, self._shown >= 1)
        return {"loss": float(loss), "mean_average_precision": precision}


def _start_at_base_rates(layer: nn.Linear, targets: Tensor) -> None:
    """Let the biases say how often each word is used, so that no weight has to learn it first.

    Words are rare; from 0 the encoder would be driven to say no before it has learnt anything
    (Lin et al. 2017, section 4.1).
    """
    rates = targets.mean(0).clamp(1e-4, 1 - 1e-4)
    with torch.no_grad():
        layer.bias.copy_(torch.logit(rates))
        layer.weight.mul_(0.1)


class WordsFamily(Family[WordsConfig]):
    """Family ``words``."""

    name = "words"
    schema = WordsConfig

    def recipe(self, config: WordsConfig) -> Mapping[str, Any]:
        """What ``recipes/words.toml`` says."""
        file = resources.files("training.words") / "recipes" / "words.toml"
        return tomllib.loads(file.read_text(encoding="utf-8"))

    def run_name(self, config: WordsConfig) -> str:
        """Data and seed."""
        return f"{config.dataset.rsplit('/', 1)[-1]}-seed{config.run.seed}"

    def make_task(self, config: WordsConfig, runtime: Runtime) -> WordsTask:
        """Read the pictures and build the model."""
        data = config.data
        images = load_captioned_images(
            config.data_dir, config.dataset, data.side, verify=data.verify
        )
        return WordsTask(config, images, runtime)


FAMILY = WordsFamily()
"""For ``training.registry``."""
