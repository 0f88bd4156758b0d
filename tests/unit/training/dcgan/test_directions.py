"""Directions of the noise, in a world where pictures are their noise and attributes are linear."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from training.dcgan.direction_trial import Trial
from training.dcgan.directions import describe, find_all
from training.dcgan.latent_directions import (
    KINDS,
    Attribute,
    class_directions,
    find_directions,
    logistic_normal,
    moved,
    without,
)
from training.dcgan.samples import Sampler
from training.dcgan.scorer import Scorer, Scores

SIZE = 8
AXES = np.eye(SIZE)
THICK = Attribute("thicker", "thinner", "weight", 0.0)
SLANTED = Attribute("slanted", "upright", "slant", 0.0)
RANDOM = np.random.default_rng(5)


class LinearScorer:
    """Weight is the first number of noise and a third of the second, which is the slant."""

    identity = {"model": "linear", "sha256": "0" * 64}  # noqa: RUF012

    def score(self, images: torch.Tensor) -> Scores:
        z = images.double().numpy()
        return Scores(
            z, torch.zeros(len(z), 0), {"weight": z[:, 0] + z[:, 1] / 3, "slant": z[:, 1]}
        )


def world() -> tuple[Sampler, Scorer]:
    model = SimpleNamespace(config=SimpleNamespace(model=SimpleNamespace(latent=SIZE)))
    sampler = SimpleNamespace(trained=model, draw=lambda z: z)
    return cast(Sampler, sampler), cast(Scorer, LinearScorer())


def test_the_logistic_normal_is_where_the_gradient_vanishes() -> None:
    rows = RANDOM.normal(size=(400, 3))
    labels = (rows @ [2.0, -1.0, 0.0] + RANDOM.logistic(size=400) > 0.3).astype(float)
    normal = logistic_normal(rows, labels)
    biases = np.linspace(-2, 2, 4001)
    chances = 1 / (1 + np.exp(-(rows @ normal)[:, None] - biases))
    bias = np.argmin(np.abs((chances - labels[:, None]).sum(0)))
    gradient = rows.T @ (chances[:, bias] - labels) + normal
    assert gradient == pytest.approx(np.zeros(3), abs=0.2)  # the bias is known to a thousandth
    assert normal[0] > 1.5
    assert -1.4 < normal[1] < -0.6
    assert abs(normal[2]) < 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_a_direction_is_at_right_angles_to_the_other_attribute(kind: str) -> None:
    z = RANDOM.normal(size=(20_000, SIZE))
    values = LinearScorer().score(torch.from_numpy(z)).values
    found = find_directions(z, values, (THICK, SLANTED), "means" if kind == "means" else "linear")
    # 20,000 samples give a direction to about a hundredth of a radian an axis.
    assert found["thicker"] @ AXES[0] > 0.995
    assert abs(found["thicker"] @ AXES[1]) < 0.03
    assert np.linalg.norm(found["slanted"]) == pytest.approx(1)


def test_a_direction_is_at_right_angles_to_those_of_the_classes() -> None:
    z = RANDOM.normal(size=(6000, SIZE))
    classes = np.digitize(z[:, 2], [-0.5, 0.5])
    kept = class_directions(z, classes)
    assert len(kept) == 2  # that of the third class follows from the others
    values = {"weight": z[:, 0] + z[:, 2], "slant": z[:, 1]}
    found = find_directions(z, values, (THICK, SLANTED), "linear", kept)
    assert found["thicker"] @ AXES[0] > 0.98  # all but the class's axis, and sampling noise
    assert max(abs(found["thicker"] @ direction) for direction in kept) < 1e-12


def test_without_takes_off_all_of_the_others_span() -> None:
    others = [AXES[0] + AXES[1], AXES[0] - 3 * AXES[1]]
    left = without(AXES[0] + AXES[2], others)
    assert left == pytest.approx(AXES[2])


def test_moved_noise_keeps_its_length() -> None:
    z = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    away = moved(z, np.array([1.0, 0.0]), 5.0)
    assert away.norm(dim=1).tolist() == pytest.approx([5.0, 1.0])
    assert away[0].tolist() == pytest.approx([5 * 8 / 80**0.5, 5 * 4 / 80**0.5])


def test_a_flip_crosses_the_border_or_goes_far_enough() -> None:
    older = Attribute("older", "younger", "age", 35.0, 10.0)
    before, after = np.array([20.0, 34, 50, 20]), np.array([30.0, 36, 70, 29])
    candidates, flipped = older.flipped(before, after, up=True)
    assert candidates.tolist() == [True, True, False, True]
    assert flipped.tolist() == [True, True, False, False]
    candidates, flipped = older.flipped(
        np.array([50.0, 36, 30]), np.array([41.0, 34, 10]), up=False
    )
    assert candidates.tolist() == [True, True, False]
    assert flipped.tolist() == [False, True, False]


def test_directions_of_a_linear_world_are_found_and_change_little_else() -> None:
    entries = find_all(*world(), (THICK, SLANTED), (20_000, 500, 500))
    assert [(entry["name"], entry["opposite"]) for entry in entries] == [
        ("thicker", "thinner"),
        ("slanted", "upright"),
    ]
    for entry in entries:
        figures = entry["figures"]
        assert figures["met"]
        assert figures["flips_toward"] >= 0.75
        assert figures["flips_away"] >= 0.75
        assert np.linalg.norm(entry["vector"]) == pytest.approx(1)
        assert figures["scorer"]["model"] == "linear"
        assert entry["name"] in describe(entries)


def test_a_direction_that_moves_another_attribute_is_not_met() -> None:
    sampler, scorer = world()
    z = torch.from_numpy(RANDOM.normal(size=(300, SIZE)))
    trial = Trial(
        sampler, scorer, (THICK, SLANTED), {"weight": 1.05, "slant": 1.0}, z, scorer.score(z)
    )
    figures = trial.measure(THICK, (AXES[0] + AXES[1]) / 2**0.5, 8.0)
    assert figures["flips_toward"] > 0.9
    assert figures["leakage"] > 0.5
    assert not figures["met"]
    aside = trial.measure(THICK, AXES[5], 4.0)
    assert aside["leakage"] >= 1
