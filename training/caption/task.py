"""How family ``caption`` is trained and validated."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from quartet.config import ConfigError
from training.averaging import make_average
from training.caption.batches import CaptionBatches, encode_captions
from training.caption.cider import CiderD
from training.caption.config import CaptionConfig
from training.caption.decoding import BeamSettings, caption_features, words_of
from training.caption.features import plain_features, view_features
from training.caption.model import Captioner, CaptionModel, pack
from training.caption.objective import coverage_loss, word_loss
from training.checkpoint import CheckpointError, load_checkpoint
from training.data.batches import rank_slice
from training.data.caption_text import build_vocabulary, tokenize
from training.data.captioned_images import CaptionedImages, load_captioned_images
from training.nn.schedules import StepPlan
from training.rundir import RunDirectory, read_run
from training.runtime import Runtime
from training.seeding import Stream, make_generator, seed_modules
from training.task import Family, Monitor, Task
from training.updater import Updater
from training.vision.pretrained import Pretrained, load_encoder, make_encoder, origin
from training.vision.views import draw_crops, draw_jitter, random_views


def load_trained(run_dir: Path) -> tuple[CaptionConfig, Captioner]:
    """The configuration and the best model of a run, in eval mode on the CPU.

    The vocabulary is the checkpoint's, so no data are read.

    Raises:
        ConfigError: ``run_dir`` is no run of family ``caption``.
        CheckpointError: best.pt is missing, damaged or of another model.
    """
    run = RunDirectory(run_dir)
    config = read_run(run, "caption", CaptionConfig)
    try:
        weights = load_checkpoint(run.best)["model"]
        symbols = bytes(weights["model.vocabulary"].tolist()).decode().split("\n")
        made = make_encoder(config.encoder, config.model.residual)
        captioner = _assemble(config, made, tuple(symbols))
        captioner.load_state_dict(weights)
    except (KeyError, RuntimeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{run.best} does not fit its config.json: {error}") from error
    return config, captioner.eval()


class CaptionTask(Task):
    """Trains decoder, and encoder if it learns too; CIDEr-D by free decoding decides."""

    monitor = Monitor("cider_d", "max")

    def __init__(self, config: CaptionConfig, images: CaptionedImages, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self._images = images
        seed_modules(config.run.seed, Stream.INIT)
        self._captioner, self._origin = _new_captioner(config, images)
        runtime.place(self._captioner)
        self._average = make_average(self._captioner, config.regularisation.ema_decay)
        self._tokens = encode_captions(
            images.train.captions, self._captioner.model.symbols, config.data.max_words
        )
        self._batches = CaptionBatches(
            self._tokens, config.data.batch_size, config.run.seed, whole_pictures=config.fine_tune
        )
        self._slice = rank_slice(config.data.batch_size, runtime.group.rank, runtime.group.size)
        self.plan = StepPlan(self._batches.steps_per_epoch, config.run.epochs)
        self._updaters = self._make_updaters()
        self._train = None if config.fine_tune else self._features_of_views()
        self._validation = None if config.fine_tune else self._plain_features()
        references = [[tokenize(c) for c in texts] for texts in images.validation.captions]
        self._cider = CiderD(references)

    def modules(self) -> Mapping[str, nn.Module]:
        """Encoder and decoder as one, and their running mean where there is one."""
        average = {"average": self._average} if self._average is not None else {}
        return {"captioner": self._captioner, **average}

    def updaters(self) -> Mapping[str, Updater]:
        """The decoder's, and the encoder's if it learns."""
        return self._updaters

    def best_model(self) -> Captioner:
        """The running mean of the model where there is one, else the model."""
        if self._average is None:
            return self._captioner
        return cast(Captioner, self._average.module)

    def rows_per_step(self) -> int:
        """Captions of the joint batch."""
        return self._config.data.batch_size

    def facts(self) -> Mapping[str, Any]:
        """Checksum of the data, what was left out, where weights came from, sizes."""
        images, model = self._images, self._captioner
        return {
            "data": {images.name: images.checksum},
            "left_out": dict(images.dropped),
            "start": self._origin,
            "train_pictures": len(images.train),
            "validation_pictures": len(images.validation),
            "symbols": len(model.model.symbols),
            "parameters": sum(p.numel() for p in model.parameters()),
        }

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """One update on this process's captions of batch ``step``."""
        config, model = self._config, self._captioner
        pictures, captions = (part[self._slice] for part in self._batches.rows(step))
        device = self._runtime.device
        read, wanted, lengths = self._batches.words(captions)
        read, wanted = read.to(device), wanted.to(device)
        model.train()
        model.encoder.eval()  # running statistics: a batch has too few pictures for its own
        read = self._forget_words(read, step)
        with self._runtime.autocast():
            features = self._features(step, pictures)
            scores, shares = model.model(features, read, lengths)
        smoothing, offset = config.loss.label_smoothing, model.model.offset
        loss = word_loss(scores, pack(wanted, lengths), offset, smoothing)
        total = loss
        if shares is not None and config.attention.coverage:
            total = loss + config.attention.coverage * coverage_loss(shares.float(), wanted)
        norm = self._update(total)
        if self._average is not None:
            self._average.update_parameters(model)
        return {"loss": loss.detach(), "gradient_norm": norm}

    @torch.inference_mode()
    def validate(self) -> Mapping[str, float]:
        """CIDEr-D of beam 3 on the validation split, and the captions' mean length."""
        captioner = self.best_model().eval()
        features = self._validation if self._validation is not None else self._plain_features()
        settings = BeamSettings(max_tokens=self._config.data.max_words)
        found = caption_features(captioner.model, features, settings)
        candidates = [words_of(best[0], captioner.model.symbols) for best in found]
        return {
            "cider_d": float(self._cider.score(candidates)),
            "words": sum(map(len, candidates)) / len(candidates),
            "distinct": len(set(candidates)) / len(candidates),
        }

    def _make_updaters(self) -> dict[str, Updater]:
        config, runtime = self._config, self._runtime
        updaters = {"model": Updater([self._captioner.model], config, self.plan, runtime)}
        if config.fine_tune:
            rate = config.optimizer.lr * config.encoder_rate
            slower = config.model_copy(
                update={"optimizer": config.optimizer.model_copy(update={"lr": rate})}
            )
            updaters["encoder"] = Updater([self._captioner.encoder], slower, self.plan, runtime)
        else:
            self._captioner.encoder.requires_grad_(False)
        return updaters

    def _update(self, loss: Tensor) -> Tensor:
        """One update of all that learns; the decoder's gradient norm."""
        encoder = self._updaters.get("encoder")
        if encoder is None:
            return self._updaters["model"].step(loss)
        return self._updaters["model"].step_with([encoder], loss)

    def _features(self, step: int, pictures: Tensor) -> Tensor:
        """Features [B, C, h, w] of the pictures of a step, one for each caption."""
        config, runtime = self._config, self._runtime
        generator = make_generator(config.run.seed, Stream.AUGMENT, step)
        if self._train is not None:
            views = torch.randint(len(self._train), (len(pictures),), generator=generator)
            return self._train[views, pictures].to(runtime.device).float()
        distinct, back = torch.unique(pictures, return_inverse=True)
        crop = config.data.crop
        maps = draw_crops(crop, len(distinct), generator)
        jitter = draw_jitter(crop, len(distinct), generator)
        images = self._images.train.images[distinct].to(runtime.device)
        seen = random_views(images, maps, jitter, config.data.side)
        features = self._captioner.encoder(seen.contiguous(memory_format=torch.channels_last))
        return cast(Tensor, features[back.to(runtime.device)].float())

    def _forget_words(self, read: Tensor, step: int) -> Tensor:
        """Replace some of the words read by the unknown word, never the beginning."""
        share = self._config.word_dropout
        if not share:
            return read
        generator = make_generator(self._config.run.seed, Stream.AUGMENT, step, 1)
        lost = torch.rand(read.shape, generator=generator).to(read.device) < share
        lost[:, 0] = False
        return read.masked_fill(lost, self._batches.unknown)

    def _features_of_views(self) -> Tensor:
        config = self._config
        return view_features(
            self._captioner.encoder.eval(),
            self._images.train.images,
            config.data,
            self._runtime,
            config.run.seed,
        )

    def _plain_features(self) -> Tensor:
        return plain_features(
            self.best_model().encoder.eval(),
            self._images.validation.images,
            self._config.data.side,
            self._runtime.autocast,
        )


class CaptionFamily(Family[CaptionConfig]):
    """Family ``caption``."""

    name = "caption"
    schema = CaptionConfig

    def recipe(self, config: CaptionConfig) -> Mapping[str, Any]:
        """What ``recipes/<decoder>.toml`` or ``recipes/fine-tune.toml`` says."""
        name = "fine-tune" if config.fine_tune else config.model.decoder
        file = resources.files("training.caption") / "recipes" / f"{name}.toml"
        return tomllib.loads(file.read_text(encoding="utf-8"))

    def run_name(self, config: CaptionConfig) -> str:
        """Data, decoder and seed."""
        tuned = "-tuned" if config.fine_tune else ""
        data = config.dataset.rsplit("/", 1)[-1]
        return f"{data}-{config.model.decoder}{tuned}-seed{config.run.seed}"

    def make_task(self, config: CaptionConfig, runtime: Runtime) -> CaptionTask:
        """Read the pictures and build the model."""
        data = config.data
        images = load_captioned_images(
            config.data_dir, config.dataset, data.side, verify=data.verify
        )
        return CaptionTask(config, images, runtime)


def _new_captioner(
    config: CaptionConfig, images: CaptionedImages
) -> tuple[Captioner, dict[str, Any]]:
    """A new captioner, or that of the run to go on from; and where its weights came from."""
    if config.start:
        earlier, captioner = load_trained(Path(config.start))
        if earlier.model != config.model:
            raise ConfigError(
                f"start: {config.start} is of model {earlier.model!r}, not {config.model!r}"
            )
        return captioner.train(), origin(config.start)
    texts = (tokenize(text) for captions in images.train.captions for text in captions)
    symbols = build_vocabulary(texts, config.data.min_count)
    made = load_encoder(config.encoder, config.model.residual)
    return _assemble(config, made, symbols), dict(made.facts)


def _assemble(config: CaptionConfig, made: Pretrained, symbols: tuple[str, ...]) -> Captioner:
    dropout = config.regularisation.dropout
    return Captioner(made.encoder, CaptionModel(config.model, made.channels, symbols, dropout))


FAMILY = CaptionFamily()
"""For ``training.registry``."""
