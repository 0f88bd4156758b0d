"""How far back the gradient reaches: its norm over the time lag.

A gradient through k steps of a recurrent network is a product of k Jacobians, so it falls or grows
about exponentially with k (Bengio, Simard, Frasconi 1994; Pascanu, Mikolov, Bengio 2013, section
2). Gates keep the factors near one. What is measured here, averaged over many places t of a text:

state   || d loss_t / d s_(t-k) ||, s all that is handed on after character t - k, k = 1, 2, ...
input   || d loss_t / d x_(t-k) ||, x the embedding of that character, k = 0, 1, 2, ...

where loss_t = -ln p(character t + 1 | those before it). A convolutional network hands on inputs of
many steps at once, so it has the second figure alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.data.idx import DataError
from training.seeding import Stream, seed_modules
from training.text.config import TextConfig
from training.text.model import CharModel, State, build_model
from training.text.tcn import TemporalConvNet


@dataclass(frozen=True, slots=True)
class LagPlan:
    """Where and how far gradients are measured."""

    places: int = 128
    """Places t, evenly spread over the text."""
    lags: int = 100
    """Longest lag k, characters."""
    context: int = 200
    """Characters read before the longest lag, so that the state is a usual one."""


@dataclass(frozen=True, slots=True)
class LagCurves:
    """Mean gradient norms of one model."""

    state: tuple[float, ...]
    """At lags 1, 2, ...; empty for convolutional networks."""
    input: tuple[float, ...]
    """At lags 0, 1, 2, ..."""


def measure_lags(model: CharModel, text: Tensor, plan: LagPlan) -> LagCurves:
    """Curves of ``model``, in eval mode on the device of ``text`` (indices [characters]).

    Raises DataError if the text is too short for the plan.
    """
    windows = cut_windows(text, plan)
    read, window = windows[:, : plan.context], windows[:, plan.context :]
    with torch.no_grad():
        _, state = model(read, model.initial_state(len(read)))
    convolutional = isinstance(model.recurrent, TemporalConvNet)
    return LagCurves(
        state=() if convolutional else _means(state_gradients(model, window, state)),
        input=_means(input_gradients(model, window, state)),
    )


def initial_model(config: TextConfig, model: CharModel) -> CharModel:
    """``model`` as it was before its training, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        seed_modules(config.run.seed, Stream.INIT)
        return build_model(config, model.symbols).eval()


def cut_windows(text: Tensor, plan: LagPlan) -> Tensor:
    """int64 [places, context + lags + 2]: what is read, then characters t - lags to t + 1."""
    length = plan.context + plan.lags + 2
    if len(text) < length:
        raise DataError(f"expected a text of at least {length} characters, got {len(text)}")
    starts = torch.linspace(0, len(text) - length, plan.places, device=text.device).long()
    return text[starts[:, None] + torch.arange(length, device=text.device)].long()


def state_gradients(model: CharModel, window: Tensor, state: State) -> Tensor:
    """Norms [B, lags] at lags 1, 2, ...

    Args:
        model: recurrent.
        window: characters t - lags to t + 1, int64 [B, lags + 2].
        state: after the characters before the window.
    """
    with torch.no_grad():
        _, state = model(window[:, :1], state)
    handed_on = [tuple(part.detach().requires_grad_() for part in state)]
    for place in range(1, window.shape[1] - 1):
        logits, state = model(window[:, place : place + 1], handed_on[-1])
        handed_on.append(state)
    loss = functional.cross_entropy(logits[:, 0], window[:, -1], reduction="sum")
    parts = [part for state in handed_on[:-1] for part in state]
    found = torch.autograd.grad(loss, parts)
    squares = torch.stack([part.square().sum(dim=(1, 2)) for part in found])
    norms = squares.view(len(handed_on) - 1, -1, len(window)).sum(dim=1).sqrt()
    return norms.flip(0).T


def input_gradients(model: CharModel, window: Tensor, state: State) -> Tensor:
    """Norms [B, lags + 1] at lags 0, 1, 2, ...; arguments as ``state_gradients``, any model."""
    embedded: list[Tensor] = []
    hook = model.embedding.register_forward_hook(lambda *call: embedded.append(call[2]))
    try:
        logits, _ = model(window[:, :-1], state)
    finally:
        hook.remove()
    loss = functional.cross_entropy(logits[:, -1], window[:, -1], reduction="sum")
    (found,) = torch.autograd.grad(loss, embedded)
    norms: Tensor = torch.linalg.vector_norm(found, dim=2)
    return norms.flip(1)


def _means(norms: Tensor) -> tuple[float, ...]:
    return tuple(norms.double().mean(dim=0).tolist())
