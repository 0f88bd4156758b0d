"""Gradient norms over the time lag, against finite differences and a network known by hand."""

import math

import pytest
import torch
from torch.nn import functional

from training.data.idx import DataError
from training.seeding import Stream, seed_modules
from training.text.config import CellName, TextConfig
from training.text.lags import (
    LagPlan,
    cut_windows,
    initial_model,
    input_gradients,
    measure_lags,
    state_gradients,
)
from training.text.model import CharModel, build_model

RECURRENT: tuple[CellName, ...] = ("rnn", "gru", "lstm")
PLAN = LagPlan(places=5, lags=6, context=4)


def make_model(cell: CellName) -> CharModel:
    values = {"cell": cell, "width": 6, "embedding": 4, "layers": 2}
    torch.manual_seed(0)
    return build_model(TextConfig.model_validate({"model": values}), "abcd").double().eval()


def draw(length: int) -> torch.Tensor:
    return torch.randint(4, (length,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cell", RECURRENT)
def test_state_gradient_is_that_of_one_pass_from_the_state(cell: CellName) -> None:
    model, window = make_model(cell), draw(8)[None]
    zeros = tuple(part.double() for part in model.initial_state(1))
    norms = state_gradients(model, window, zeros)
    for lag in (1, 4, 6):
        # Characters t - 6 to t + 1: at lag k the last k are read after the state.
        _, state = model(window[:, : 7 - lag], zeros)
        leaves = tuple(part.detach().requires_grad_() for part in state)
        logits, _ = model(window[:, 7 - lag : 7], leaves)
        loss = functional.cross_entropy(logits[:, -1], window[:, -1])
        squares = sum(float(g.square().sum()) for g in torch.autograd.grad(loss, leaves))
        # Float64; one pass and single steps sum in another order.
        assert float(norms[0, lag - 1]) == pytest.approx(math.sqrt(squares), rel=1e-9)


def test_state_gradient_shrinks_by_the_recurrent_weight_when_units_are_linear() -> None:
    model = make_model("rnn")
    with torch.no_grad():
        for name, parameter in model.recurrent.named_parameters():
            # Nothing comes in, so the state is zero, where the slope of tanh is one.
            parameter.zero_()
            if name == "weight_hh_l1":
                parameter.copy_(0.5 * torch.eye(6))
    zeros = tuple(part.double() for part in model.initial_state(1))
    norms = state_gradients(model, draw(8)[None], zeros)[0]
    torch.testing.assert_close(norms[1:] / norms[:-1], torch.full((5,), 0.5).double())


@pytest.mark.parametrize("cell", [*RECURRENT, "tcn"])
def test_input_gradient_is_the_slope_of_the_loss(cell: CellName) -> None:
    model, window = make_model(cell), draw(8)[None]
    zeros = tuple(part.double() for part in model.initial_state(1))
    norms = input_gradients(model, window, zeros)[0]
    assert norms.shape == (7,)
    step = 1e-6

    def loss_with(place: int, unit: int, change: float) -> float:
        shift = torch.zeros(1, 7, 4, dtype=torch.float64)
        shift[0, place, unit] = change
        hook = model.embedding.register_forward_hook(lambda *call: call[2] + shift)
        with torch.no_grad():
            logits, _ = model(window[:, :-1], zeros)
        hook.remove()
        return float(functional.cross_entropy(logits[:, -1], window[:, -1]))

    for lag in (0, 3):
        slopes = [
            (loss_with(6 - lag, unit, step) - loss_with(6 - lag, unit, -step)) / (2 * step)
            for unit in range(4)
        ]
        # Central differences of a float64 loss: the error is about eps / step.
        assert float(norms[lag]) == pytest.approx(math.hypot(*slopes), rel=1e-5, abs=1e-9)


def test_convolutional_network_has_no_gradient_beyond_its_receptive_field() -> None:
    curves = measure_lags(make_model("tcn").float(), draw(100), LagPlan(5, 20, 4))
    # Two blocks of kernel 3 see 1 + 2 (3 - 1) (2^2 - 1) = 13 inputs.
    assert all(norm > 0 for norm in curves.input[:13])
    assert not any(curves.input[13:])
    assert curves.state == ()


def test_curves_are_means_over_the_places() -> None:
    model, text = make_model("lstm").float(), draw(60)
    curves = measure_lags(model, text, PLAN)
    each = [
        measure_lags(model, window, LagPlan(1, PLAN.lags, PLAN.context))
        for window in cut_windows(text, PLAN)
    ]
    for lag in range(PLAN.lags):
        mean = sum(one.state[lag] for one in each) / PLAN.places
        # Batches of one and of five in float32.
        assert curves.state[lag] == pytest.approx(mean, rel=1e-4)


def test_windows_reach_from_the_first_to_the_last_character() -> None:
    text = torch.arange(40)
    windows = cut_windows(text, PLAN)
    assert windows.shape == (5, 12)
    assert (int(windows[0, 0]), int(windows[-1, -1])) == (0, 39)


def test_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(DataError, match="at least 12 characters, got 11"):
        cut_windows(torch.arange(11), PLAN)


def test_initial_model_is_the_one_that_training_began_with() -> None:
    config = TextConfig.model_validate({"model": {"width": 6, "embedding": 4}, "run": {"seed": 9}})
    seed_modules(9, Stream.INIT)
    first = build_model(config, "abcd")
    torch.manual_seed(1)
    rebuilt = initial_model(config, build_model(config, "abcd"))
    for name, value in rebuilt.state_dict().items():
        assert torch.equal(value, first.state_dict()[name])
