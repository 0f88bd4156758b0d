"""Finds the directions of a generator's noise that change one attribute of its pictures.

``python -m training.dcgan.directions runs/dcgan/faces --data-dir DIR`` writes ``directions.json``
into the run, from where the exporter takes them into the model: a list of ``{"name", "opposite",
"vector", "step", "figures"}``, as ``quartet.image_generation.Direction`` has them, with figures as
``training.dcgan.direction_trial`` defines them.

Samples of 20,000 seeds are scored. For each attribute two directions are found
(``training.dcgan.latent_directions``), at right angles to those that change the others, and the
digit where there is one. The step is chosen on other seeds, and what is reported is measured on yet
others. Of the two kinds the one that flips more is kept, and of two that flip enough the one that
changes the other attributes less.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quartet.config import ConfigError
from training.checkpoint import CheckpointError
from training.data.idx import DataError
from training.dcgan.direction_trial import Trial, rank
from training.dcgan.latent_directions import KINDS, Attribute, class_directions, find_directions
from training.dcgan.pictures import PictureSet, load_pictures
from training.dcgan.samples import Sampler, make_sampler, noise
from training.dcgan.scorer import MODEL_REPOSITORY, Scorer, open_scorer
from training.dcgan.trained_networks import load_trained
from training.trained import add_data_dir

DIRECTIONS_FILE = "directions.json"
"""In the run."""
SEEDS = (20_000, 500, 1_000)
"""Seeds for finding directions, for choosing steps and for the report, one after another."""
_MIDDLE_AGE, _YEARS = 35.0, 10.0
"""Border of "older" and "younger", and a difference that counts as either, years."""


def watched_attributes(dataset: str, data: PictureSet) -> tuple[Attribute, ...]:
    """The attributes that a scorer knows of a data set's pictures.

    A digit's border is the middle of the third that is neither thin nor thick, neither upright nor
    slanted.
    """
    if dataset == "utkface":
        return (
            Attribute("older", "younger", "age", _MIDDLE_AGE, _YEARS),
            Attribute("female", "male", "female", 0.0),
        )
    middle = {name: sum(borders) / 2 for name, borders in data.borders.items()}
    return (
        Attribute("thicker", "thinner", "weight", middle["weight"]),
        Attribute("slanted", "upright", "slant", middle["slant"]),
    )


def find_all(
    sampler: Sampler,
    scorer: Scorer,
    attributes: tuple[Attribute, ...],
    seeds: tuple[int, int, int] = SEEDS,
) -> list[dict[str, Any]]:
    """The contents of directions.json; ``seeds`` as in ``SEEDS``."""
    size = sampler.trained.config.model.latent
    ends = np.cumsum(seeds).tolist()
    learned, chosen, reported = (
        noise(range(end - count, end), size) for count, end in zip(seeds, ends, strict=True)
    )
    scores, points = scorer.score(sampler.draw(learned)), learned.double().numpy()
    kept = []
    if scores.probabilities is not None:
        kept = class_directions(points, scores.attributes[:, 0].numpy())
    values = scores.values
    found = {kind: find_directions(points, values, attributes, kind, kept) for kind in KINDS}
    deviations = {key: float(row.std()) for key, row in values.items()}
    choosing, reporting = (
        Trial(sampler, scorer, attributes, deviations, z, scorer.score(sampler.draw(z)))
        for z in (chosen, reported)
    )
    entries = []
    for attribute in attributes:
        tried = {
            kind: choosing.choose_step(attribute, found[kind][attribute.name]) for kind in KINDS
        }
        best = max(KINDS, key=lambda kind: rank(tried[kind][1]))
        vector, step = found[best][attribute.name], tried[best][0]
        figures = {
            "kind": best,
            "seeds": seeds[2],
            **reporting.measure(attribute, vector, step),
            "scorer": scorer.identity,
            "choice": {kind: {"step": step, **row} for kind, (step, row) in tried.items()},
        }
        entry = {"name": attribute.name, "opposite": attribute.opposite}
        entries.append({**entry, "vector": vector.tolist(), "step": step, "figures": figures})
    return entries


def describe(entries: Sequence[dict[str, Any]]) -> str:
    """A line for each direction, and one for each attribute that it should leave alone."""
    lines = []
    for entry in entries:
        figures = entry["figures"]
        lines.append(
            f"{entry['name']} ({figures['kind']}, step {entry['step']:.3g}): flips "
            f"{figures['flips_toward']:.1%}, {entry['opposite']} {figures['flips_away']:.1%}, "
            f"change {figures['change']:.2f} deviations; leakage {figures['leakage']:.2f}, "
            f"{'met' if figures['met'] else 'NOT met'}"
        )
        for name, row in figures["others"].items():
            change = f", change {row['change']:.2f} deviations" if "change" in row else ""
            lines.append(f"  {name}: flips {row['flips']:.1%}{change}")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0, or 2 for a run or data that cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        entries = _entries(arguments.run, arguments.data_dir, arguments.model_repo)
    except (ConfigError, CheckpointError, DataError) as error:
        sys.stderr.write(f"directions: {error}\n")
        return 2
    text = json.dumps(entries, indent=2)
    (arguments.run / DIRECTIONS_FILE).write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(describe(entries) + "\n")
    return 0


def _entries(run_dir: Path, data_dir: Path, repository: Path) -> list[dict[str, Any]]:
    trained = load_trained(run_dir)
    config = trained.config.model_copy(update={"data_dir": data_dir})
    if config.model.condition != "none":
        raise ConfigError(
            f"{run_dir}: a generator with a {config.model.condition} is told its attributes; "
            "directions are for those that get noise alone"
        )
    data = load_pictures(config)
    scorer = open_scorer(config.dataset, data, repository)
    if scorer is None:
        raise ConfigError(f"{run_dir}: there is no scorer for {config.dataset}")
    return find_all(make_sampler(trained, data), scorer, watched_attributes(config.dataset, data))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.dcgan.directions",
        description="Finds the directions of a generator's noise that change one attribute of its "
        "pictures, and writes them as directions.json into the run.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory of family dcgan")
    add_data_dir(parser)
    parser.add_argument(
        "--model-repo",
        type=Path,
        default=MODEL_REPOSITORY,
        help="where the scorers are; default: model_repo",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
