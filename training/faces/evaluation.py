"""Hands a trained run of family ``faces`` to the evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from training.data.utkface import Split as FaceSplit
from training.data.utkface import UtkFace, load_utkface
from training.dcgan.prompts import AGE_GROUPS
from training.evaluation.metrics import expected_calibration_error, reliability, wilson_interval
from training.evaluation.spec import Evaluation, Figures, Split
from training.faces.task import attributes_of, load_trained

Floats = npt.NDArray[np.float64]

_DPI = 120


@dataclass(frozen=True, slots=True)
class FaceAnswers:
    """A split of N faces and what a model said of them."""

    female: npt.NDArray[np.bool_]
    """Whether the label says so [N]."""
    ages: Floats
    """Labels, years [N]."""
    probabilities: Floats
    """Of "female" [N]."""
    guessed_ages: Floats
    """Years [N]."""

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether the gender was told as labelled [N]."""
        right: npt.NDArray[np.bool_] = (self.probabilities > 0.5) == self.female
        return right


class FacesEvaluation:
    """One run directory of family ``faces``, with the data it is judged by.

    Args:
        run_dir: what ``quartet train faces`` wrote.
        data_dir: folder of data sets; read when a split is first asked for.

    Raises:
        ConfigError: ``run_dir`` is no run of this family.
        CheckpointError: its weights are missing or damaged.
        DataError: (from the methods that read data) a file is missing or damaged.
    """

    def __init__(self, run_dir: Path, data_dir: Path) -> None:
        self._config, self._model = load_trained(run_dir)
        self._data_dir = data_dir

    @cached_property
    def _data(self) -> UtkFace:
        return load_utkface(self._data_dir)

    def data_checksums(self) -> dict[str, str]:
        """SHA-256 of the data set."""
        return {"utkface": self._data.checksum}

    def evaluate(self, split: Split) -> Evaluation:
        """Gender and age of every face, beside what a guess without looking would give."""
        part = self._data.test if split == "test" else self._data.validation
        probabilities, ages = attributes_of(part, self._model, self._config.data.validation_side)
        answers = FaceAnswers(
            part.female.numpy(),
            part.ages.numpy().astype(np.float64),
            probabilities.double().numpy(),
            ages.double().numpy(),
        )
        figures = make_figures(answers, self._data.train)
        return Evaluation(figures=figures, plots={"ages": partial(plot_ages, answers)})


def make_figures(answers: FaceAnswers, train: FaceSplit) -> Figures:
    """For JSON: the whole split, its age groups (``AGE_GROUPS``), and blind guesses from ``train``.

    Errors of the age are in years; ``age_bias_years`` is the mean of guess minus label.
    """
    count, right = len(answers.ages), int(answers.right.sum())
    sure = np.maximum(answers.probabilities, 1 - answers.probabilities)
    mostly_female = float(train.female.float().mean()) > 0.5
    usual_age = float(train.ages.double().median())
    return {
        "count": count,
        "gender_accuracy": right / count,
        "gender_accuracy_interval_95": list(wilson_interval(right, count)),
        "gender_ece": expected_calibration_error(reliability(sure, answers.right)),
        **_age_errors(answers, np.ones(count, dtype=np.bool_)),
        "groups": _by_group(answers),
        "blind": {
            "gender_accuracy": float((answers.female == mostly_female).mean()),
            "age_mae_years": float(np.abs(answers.ages - usual_age).mean()),
        },
    }


def _by_group(answers: FaceAnswers) -> dict[str, Figures]:
    groups: dict[str, Figures] = {}
    for low, end in zip((0, *AGE_GROUPS), (*AGE_GROUPS, np.inf), strict=True):
        members = (answers.ages >= low) & (answers.ages < end)
        if not members.any():
            continue
        name = f"{low} and older" if end == np.inf else f"{low} to {end - 1:.0f}"
        groups[name] = {
            "count": int(members.sum()),
            "gender_accuracy": float(answers.right[members].mean()),
            **_age_errors(answers, members),
        }
    return groups


def _age_errors(answers: FaceAnswers, members: npt.NDArray[np.bool_]) -> dict[str, float]:
    errors = (answers.guessed_ages - answers.ages)[members]
    return {"age_mae_years": float(np.abs(errors).mean()), "age_bias_years": float(errors.mean())}


def plot_ages(answers: FaceAnswers, path: Path) -> None:
    """Guessed against labelled age, every face a point in a density of hexagons."""
    figure = Figure(figsize=(5.6, 5.0), layout="constrained")
    axes = figure.subplots()
    drawn = axes.hexbin(
        answers.ages, answers.guessed_ages, gridsize=40, bins="log", mincnt=1, extent=(0, 100) * 2
    )
    axes.plot([0, 100], [0, 100], "--", color="0.3", linewidth=1)
    axes.set(xlabel="labelled age, years", ylabel="guessed age, years")
    error = float(np.abs(answers.guessed_ages - answers.ages).mean())
    axes.set_title(f"mean absolute error {error:.2f} years, {len(answers.ages)} faces", fontsize=11)
    figure.colorbar(drawn, ax=axes, label="faces")
    figure.savefig(path, dpi=_DPI)


def open_run(run_dir: Path, data_dir: Path) -> FacesEvaluation:
    """The family's entry for ``training.trained``."""
    return FacesEvaluation(run_dir, data_dir)


def describe(figures: Figures) -> str:
    """The figures, in words and a table of age groups."""
    low, high = figures["gender_accuracy_interval_95"]
    blind: Mapping[str, float] = figures["blind"]
    lines = [
        f"gender as labelled: {figures['gender_accuracy']:.2%} of {figures['count']} faces "
        f"(Wilson 95 % interval {low:.2%} to {high:.2%}; the commoner gender always: "
        f"{blind['gender_accuracy']:.2%}), expected calibration error {figures['gender_ece']:.4f}",
        f"age: mean absolute error {figures['age_mae_years']:.2f} years (the median age always: "
        f"{blind['age_mae_years']:.2f}), bias {figures['age_bias_years']:+.2f}",
        f"{'age, years':>13} {'faces':>6} {'gender':>8} {'error':>6} {'bias':>6}",
    ]
    for name, row in figures["groups"].items():
        lines.append(
            f"{name:>13} {row['count']:>6} {row['gender_accuracy']:>8.2%} "
            f"{row['age_mae_years']:>6.2f} {row['age_bias_years']:>+6.2f}"
        )
    return "\n".join(lines)
