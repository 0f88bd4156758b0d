"""Hands a trained run of family ``dcgan`` to the evaluation."""

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.dcgan import quality
from training.dcgan.agreement import allowed_values, measure_agreement
from training.dcgan.learning_plot import plot_learning
from training.dcgan.pictures import LabelledPictures, PictureSet, load_pictures
from training.dcgan.report import describe as describe
from training.dcgan.samples import Sampler, great_circle, make_sampler, noise
from training.dcgan.scorer import MODEL_REPOSITORY, Scorer, Scores, open_scorer
from training.dcgan.task import SHEET_SIDE, as_sheet, to_unit
from training.dcgan.trained_networks import load_trained
from training.evaluation.spec import Evaluation, Figures, Split
from training.loggers import read_records
from training.rundir import RunDirectory
from training.seeding import Stream, make_generator
from training.sheets import save_sheet

MOST_PICTURES = 10_000
"""Of a split, and as many samples, unless the split has fewer."""
_MANIFOLD = 3000
"""Of those, for precision and recall (Kynkaanniemi et al. 2019 take 50,000 of larger sets)."""
_PATHS, _FRAMES = 64, 33
_BATCH = 250
_ASKED = 2000
"""Pictures, about, for the agreement with what was asked for."""
_SEED = 0
"""Of what is drawn here: conditions, and rows of splits."""


class DcganEvaluation:
    """One run directory of family ``dcgan``, with the data and the scorer it is judged by.

    Args:
        run_dir: what ``quartet train dcgan`` wrote.
        data_dir: folder of data sets; read when a split is first asked for.
        repository: model repository of the scorers.

    Raises:
        ConfigError: ``run_dir`` is no run of this family, or (from ``evaluate``) the scorer is not
            in ``repository``.
        CheckpointError: its weights are missing or damaged.
        DataError: (from the methods that read data) a file is missing or damaged.
    """

    def __init__(self, run_dir: Path, data_dir: Path, repository: Path = MODEL_REPOSITORY) -> None:
        self._run = RunDirectory(run_dir)
        self._trained = load_trained(run_dir)
        self._config = self._trained.config.model_copy(update={"data_dir": data_dir})
        self._repository = repository

    @cached_property
    def _data(self) -> PictureSet:
        return load_pictures(self._config)

    @cached_property
    def _sampler(self) -> Sampler:
        return make_sampler(self._trained, self._data)

    def data_checksums(self) -> dict[str, str]:
        """SHA-256 of the data."""
        return dict(self._data.checksums)

    def evaluate(self, split: Split) -> Evaluation:
        """All figures of ``training.dcgan.report``, a sheet of samples and the learning curves.

        Samples are those of seeds 0, 1, 2 ...; a generator that is told something is told what is
        true of the held-out pictures, so that both sides show the same mixture.
        """
        part = self._data.test if split == "test" else self._data.validation
        count = min(len(part), MOST_PICTURES)
        said = self._draw(part, torch.arange(count))
        samples = self._sampler.sample(range(count), said)
        figures: Figures = {"count": count, "critic": self._critic(part, samples, said)}
        scorer = open_scorer(self._config.dataset, self._data, self._repository)
        if scorer is not None:
            figures |= self._judge(scorer, part, samples, said)
        plots = {
            "samples": partial(save_sheet, sheet=self._sheet()),
            "learning": partial(plot_learning, list(read_records(self._run.metrics))),
        }
        return Evaluation(figures=figures, plots=plots)

    def _judge(
        self, scorer: Scorer, part: LabelledPictures, samples: Tensor, said: Tensor | None
    ) -> Figures:
        """All that ``scorer`` can say."""
        count = len(samples)
        rows = torch.randperm(len(self._data.train), generator=make_generator(_SEED, Stream.ORDER))
        real = scorer.score(part.images[:count])
        seen = scorer.score(self._data.train.images[rows[:count]])
        fake = scorer.score(samples)
        figures = {
            "scorer": scorer.identity,
            **quality_figures(real, seen, fake),
            "path_smoothness": self._paths(scorer),
        }
        if said is not None:
            figures["agreement"] = self._agreement(scorer, real, said)
        return figures

    def _draw(self, part: LabelledPictures, rows: Tensor) -> Tensor | None:
        """What is true of ``rows``, int64 [N]."""
        conditions = self._sampler.conditions
        generator = make_generator(_SEED, Stream.AUGMENT)
        return None if conditions is None else conditions.draw(part, rows, generator)

    @torch.inference_mode()
    def _critic(self, part: LabelledPictures, samples: Tensor, said: Tensor | None) -> Figures:
        """What the discriminator makes of held-out pictures and of samples."""
        words = self._sampler.tensor(said)
        sides = []
        for images in (part.images[: len(samples)], samples):
            logits = [
                self._trained.discriminator(
                    to_unit(images[rows]), None if words is None else words[rows]
                )
                for rows in torch.split(torch.arange(len(images)), _BATCH)
            ]
            sides.append(torch.cat(logits).double().sigmoid().numpy())
        real, fake = sides
        return {
            "probability_real": float(real.mean()),
            "probability_fake": float(fake.mean()),
            "auc": area_under_curve(real, fake),
        }

    def _paths(self, scorer: Scorer) -> Figures:
        """How evenly the features change from one sample to another."""
        ends = noise(range(2 * _PATHS), self._config.model.latent)
        z = great_circle(ends[:_PATHS], ends[_PATHS:], _FRAMES).flatten(0, 1)
        said = None
        if self._sampler.conditions is not None:
            kinds = self._sampler.conditions.spread(_PATHS, _PATHS)
            said = kinds.repeat_interleave(_FRAMES)
        features = scorer.score(self._sampler.draw(z, said)).features
        ratios = quality.path_smoothness(features.reshape(_PATHS, _FRAMES, -1))
        return {"median": float(np.median(ratios)), "worst_tenth": float(np.quantile(ratios, 0.9))}

    def _agreement(self, scorer: Scorer, real: Scores, true: Tensor) -> Figures:
        """Samples of every condition equally often, beside ``real`` pictures with ``true`` ones."""
        model = self._config.model
        allowed = allowed_values(self._config.dataset, model.condition, self._data)
        said = torch.arange(len(allowed)).repeat(-(-_ASKED // len(allowed)))
        shown = scorer.score(self._sampler.sample(range(len(said)), said)).attributes
        return {
            "samples": measure_agreement(allowed, said, shown, scorer.attributes),
            "real": measure_agreement(allowed, true, real.attributes, scorer.attributes),
        }

    def _sheet(self) -> npt.NDArray[np.uint8]:
        """Samples of seeds 0 to 63, by class or prompt where there are any."""
        count, conditions = SHEET_SIDE**2, self._sampler.conditions
        said = None if conditions is None else conditions.spread(count, SHEET_SIDE)
        return as_sheet(self._sampler.sample(range(count), said).numpy(), SHEET_SIDE)


def quality_figures(real: Scores, seen: Scores, fake: Scores) -> dict[str, Any]:
    """Figures of ``fake`` against ``real`` held-out pictures, ``floor`` those of training ones."""
    figures: dict[str, Any] = {
        name: {
            "samples": measure(real.features, fake.features),
            "floor": measure(real.features, seen.features),
        }
        for name, measure in (
            ("frechet_distance", quality.frechet_distance),
            ("kernel_distance", quality.kernel_distance),
        )
    }
    tops = [scores.features[:_MANIFOLD] for scores in (real, seen, fake)]
    of_fake, of_seen = (quality.precision_recall(tops[0], tops[row]) for row in (2, 1))
    for place, name in enumerate(("precision", "recall")):
        figures[name] = {"samples": of_fake[place], "floor": of_seen[place]}
    if real.probabilities is not None and fake.probabilities is not None:
        figures["inception_score"] = {
            "samples": quality.inception_score(fake.probabilities)[0],
            "deviation_of_tenths": quality.inception_score(fake.probabilities, 10)[1],
            "real": quality.inception_score(real.probabilities)[0],
        }
        figures["class_shares"] = {
            "samples": quality.class_shares(fake.probabilities).tolist(),
            "real": quality.class_shares(real.probabilities).tolist(),
        }
    return figures


def area_under_curve(positive: npt.NDArray[np.float64], negative: npt.NDArray[np.float64]) -> float:
    """Chance that one of ``positive`` [N] exceeds one of ``negative`` [M]; ties count half.

    Area under the receiver's curve (Hanley, McNeil 1982).
    """
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / (2 * len(negative)))


def open_run(run_dir: Path, data_dir: Path) -> DcganEvaluation:
    """The family's entry for ``training.trained``."""
    return DcganEvaluation(run_dir, data_dir)
