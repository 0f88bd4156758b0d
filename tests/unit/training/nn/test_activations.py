"""Activations against their equations at a few points."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.config import ActivationName
from training.nn.activations import Maxout, fan_out_factor, make_activation

EQUATIONS: dict[ActivationName, Callable[[float], float]] = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
    "relu": lambda x: max(0.0, x),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
}


@pytest.mark.parametrize("name", EQUATIONS)
@given(x=st.floats(-5, 5))
def test_activation_equals_its_equation_anywhere(name: ActivationName, x: float) -> None:
    value = make_activation(name)(torch.tensor([x], dtype=torch.float64))
    assert value.item() == pytest.approx(EQUATIONS[name](x), abs=1e-12)


def test_maxout_takes_the_largest_piece_of_each_unit() -> None:
    pieces = torch.tensor([[1.0, 5.0, -2.0, -7.0], [0.0, -1.0, 3.0, 4.0]])
    assert Maxout(2)(pieces).tolist() == [[5.0, -2.0], [0.0, 4.0]]


def test_maxout_works_on_the_channels_of_a_picture() -> None:
    planes = torch.tensor([1.0, 2.0, 3.0, 9.0, 5.0, 6.0]).view(1, 6, 1, 1).expand(1, 6, 2, 2)
    assert Maxout(3)(planes)[0, :, 0, 0].tolist() == [3.0, 9.0]


def test_maxout_of_x_and_its_negative_is_the_absolute_value() -> None:
    x = torch.linspace(-3, 3, 13).view(-1, 1)
    assert torch.equal(Maxout(2)(torch.cat([x, -x], dim=1)), x.abs())


def test_maxout_refuses_channels_that_its_pieces_do_not_divide() -> None:
    with pytest.raises(ValueError, match="5 channels are no multiple of 2"):
        Maxout(2)(torch.zeros(1, 5))


def test_maxout_refuses_fewer_than_two_pieces() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Maxout(1)


def test_fan_out_factor_is_the_number_of_pieces_for_maxout_alone() -> None:
    assert (fan_out_factor("maxout", 3), fan_out_factor("relu", 3)) == (3, 1)
