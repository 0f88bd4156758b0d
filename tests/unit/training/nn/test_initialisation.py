"""Initialisation: ranges and moments of many drawn weights."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from training.config import ActivationName, InitConfig
from training.nn.initialisation import gain, initialise

INPUTS, OUTPUTS = 300, 200


def drawn(config: InitConfig, activation: ActivationName = "relu") -> torch.Tensor:
    torch.manual_seed(0)
    layer = nn.Linear(INPUTS, OUTPUTS)
    initialise(layer, config, activation)
    return layer.weight.detach()


def test_uniform_fills_its_range() -> None:
    weight = drawn(InitConfig(name="uniform", bound=0.2))
    assert 0.199 < weight.abs().max() <= 0.2
    assert weight.std().item() == pytest.approx(0.2 / math.sqrt(3), rel=0.02)


def test_normal_has_its_deviation_and_tails() -> None:
    weight = drawn(InitConfig(name="normal", std=0.05))
    assert weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert weight.abs().max() > 0.15


def test_xavier_is_bounded_by_both_fans() -> None:
    bound = 5 / 3 * math.sqrt(6 / (INPUTS + OUTPUTS))
    weight = drawn(InitConfig(name="xavier"), "tanh")
    assert 0.99 * bound < weight.abs().max() <= bound


def test_kaiming_has_variance_two_over_fan_in_before_relu() -> None:
    weight = drawn(InitConfig(name="kaiming"), "relu")
    assert weight.std().item() == pytest.approx(math.sqrt(2 / INPUTS), rel=0.02)


def test_kaiming_keeps_the_second_moment_through_relu_layers() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(512, 512) for _ in range(6)]
    x = torch.randn(256, 512)
    for layer in layers:
        initialise(layer, InitConfig(name="kaiming"), "relu")
        x = layer(x).relu()
    assert x.square().mean().item() == pytest.approx(1, rel=0.3)


def test_initialise_zeroes_the_biases() -> None:
    layer = nn.Conv2d(3, 4, 3)
    initialise(layer, InitConfig(name="xavier"), "relu")
    assert layer.bias is not None
    assert layer.bias.abs().sum() == 0


def test_default_leaves_the_layer_as_constructed() -> None:
    layer = nn.Linear(4, 3)
    before = layer.weight.detach().clone()
    initialise(layer, InitConfig(name="default"), "relu")
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("sigmoid", 1.0), ("tanh", 5 / 3), ("relu", math.sqrt(2)), ("maxout", 1.0)],
)
def test_gain_belongs_to_the_activation(activation: ActivationName, expected: float) -> None:
    assert gain(activation) == pytest.approx(expected)


def learned(layer: nn.Module) -> torch.Tensor:
    """The weight before normalisation."""
    return dict(layer.named_parameters())["parametrizations.weight.original"]


def test_weights_before_spectral_norm_are_drawn_and_their_norm_is_one_at_once() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(INPUTS, OUTPUTS)
    spectral_norm(layer)
    initialise(layer, InitConfig(name="normal", std=5.0), "relu")
    assert learned(layer).std().item() == pytest.approx(5, rel=0.02)
    norm = torch.linalg.matrix_norm(layer.eval().weight, 2).item()
    # Power iteration comes near from below: the two largest values of 200 lie close together.
    assert 1 <= norm < 1.05
    assert not layer.bias.any()


def test_spectral_norm_changes_no_other_draw() -> None:
    """A network with it begins with the weights of one without."""
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 3)
    normed = nn.Conv2d(3, 4, 3)
    spectral_norm(normed)
    for layer in (plain, normed):
        torch.manual_seed(1)
        initialise(layer, InitConfig(name="kaiming"), "leaky_relu")
    assert torch.equal(learned(normed), plain.weight)
