"""Three steps of each update rule against its equation, on f(w) = w^2 / 2 + w (gradient w + 1)."""

import math
from collections.abc import Callable
from math import sqrt

import pytest
import torch
from torch import nn

from training.config import OptimizerConfig, OptimizerName, RegularisationConfig
from training.nn.optimizers import make_optimizer, parameter_groups

LR, M, R, B1, B2, EPS, STEPS = 0.1, 0.8, 0.7, 0.6, 0.9, 1e-3, 3
Rule = Callable[[float, float, dict[str, float]], float]


def sgd(w: float, g: float, s: dict[str, float]) -> float:
    return w - LR * g


def momentum(w: float, g: float, s: dict[str, float]) -> float:
    s["v"] = M * s.get("v", 0) + g
    return w - LR * s["v"]


def nesterov(w: float, g: float, s: dict[str, float]) -> float:
    s["v"] = M * s.get("v", 0) + g
    return w - LR * (g + M * s["v"])


def adagrad(w: float, g: float, s: dict[str, float]) -> float:
    s["s"] = s.get("s", 0) + g * g
    return w - LR * g / (sqrt(s["s"]) + EPS)


def adadelta(w: float, g: float, s: dict[str, float]) -> float:
    s["s"] = R * s.get("s", 0) + (1 - R) * g * g
    d = g * sqrt(s.get("u", 0) + EPS) / sqrt(s["s"] + EPS)
    s["u"] = R * s.get("u", 0) + (1 - R) * d * d
    return w - LR * d


def rmsprop(w: float, g: float, s: dict[str, float]) -> float:
    s["s"] = R * s.get("s", 0) + (1 - R) * g * g
    return w - LR * g / (sqrt(s["s"]) + EPS)


def adam(w: float, g: float, s: dict[str, float]) -> float:
    t = s["t"] = s.get("t", 0) + 1
    s["m"] = B1 * s.get("m", 0) + (1 - B1) * g
    s["s"] = B2 * s.get("s", 0) + (1 - B2) * g * g
    mean, square = s["m"] / (1 - math.pow(B1, t)), s["s"] / (1 - math.pow(B2, t))
    return w - LR * mean / (sqrt(square) + EPS)


RULES: dict[OptimizerName, Rule] = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adam,
}


def run(name: OptimizerName, weight_decay: float) -> float:
    """The weight after ``STEPS`` steps of the library's rule, from 2."""
    weight = nn.Parameter(torch.tensor([[2.0]], dtype=torch.float64))
    config = OptimizerConfig(name=name, lr=LR, momentum=M, rho=R, beta1=B1, beta2=B2, eps=EPS)
    groups = [{"params": [weight], "weight_decay": weight_decay}]
    optimizer = make_optimizer(groups, config)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.autograd.backward((weight**2 / 2 + weight).sum())
        optimizer.step()
    return weight.item()


def by_hand(rule: Rule, *, l2: float = 0.0, decoupled: float = 0.0) -> float:
    """The same by the equation."""
    w, state = 2.0, dict[str, float]()
    for _ in range(STEPS):
        g = w + 1 + l2 * w
        w = rule(w - LR * decoupled * w, g, state)
    return w


@pytest.mark.parametrize("name", RULES)
def test_optimizer_follows_its_equation(name: OptimizerName) -> None:
    assert run(name, 0.0) == pytest.approx(by_hand(RULES[name]), abs=1e-12)


@pytest.mark.parametrize("name", [name for name in RULES if name != "adamw"])
def test_weight_decay_adds_the_l2_gradient(name: OptimizerName) -> None:
    assert run(name, 0.5) == pytest.approx(by_hand(RULES[name], l2=0.5), abs=1e-12)


def test_weight_decay_of_adamw_shrinks_the_weight_apart_from_the_gradient() -> None:
    assert run("adamw", 0.5) == pytest.approx(by_hand(adam, decoupled=0.5), abs=1e-12)


def test_parameter_groups_spares_biases_and_norms_from_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    groups = parameter_groups([model], RegularisationConfig(weight_decay=0.3))
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.3), (3, 0.0)]


def test_parameter_groups_decays_biases_when_asked() -> None:
    config = RegularisationConfig(weight_decay=0.3, decay_biases=True)
    assert [g["weight_decay"] for g in parameter_groups([nn.Linear(3, 2)], config)] == [0.3, 0.3]


def test_parameter_groups_leaves_out_frozen_parameters() -> None:
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    groups = parameter_groups([model], RegularisationConfig())
    assert [p.shape for g in groups for p in g["params"]] == [model.bias.shape]
