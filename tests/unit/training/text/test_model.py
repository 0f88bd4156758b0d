"""Character models: a state that carries everything, the forget bias, learning by heart."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from training.config import InitConfig
from training.text.config import CellName, TextConfig, TextModelConfig
from training.text.model import CharModel, build_model

CELLS: tuple[CellName, ...] = ("rnn", "gru", "lstm", "tcn")
SYMBOLS = ("\n", "a", "b", "é", "😀")


def make(cell: CellName, *, layers: int = 2, width: int = 6, dropout: float = 0.0) -> CharModel:
    torch.manual_seed(0)
    config = TextModelConfig(cell=cell, layers=layers, width=width, embedding=4)
    return CharModel(config, SYMBOLS, dropout)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pieces", [[1] * 12, [5, 1, 6], [12]])
def test_a_text_in_pieces_gives_the_logits_of_one_pass(cell: CellName, pieces: list[int]) -> None:
    model = make(cell).eval()
    ids = torch.randint(len(SYMBOLS), (3, 12), dtype=torch.uint8)
    whole, last = model(ids, model.initial_state(3))
    state, parts = model.initial_state(3), []
    for piece in torch.split(ids, pieces, dim=1):
        logits, state = model(piece, state)
        parts.append(logits)
    # Products of other shapes may add up in another order: some units in the last place of float32.
    assert torch.allclose(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-6)
    for one, two in zip(state, last, strict=True):
        assert torch.allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_logits_do_not_depend_on_what_follows(cell: CellName) -> None:
    model = make(cell).eval()
    ids = torch.randint(len(SYMBOLS), (1, 20))
    other = ids.clone()
    other[:, 10:] = (ids[:, 10:] + 1) % len(SYMBOLS)
    one, _ = model(ids, model.initial_state(1))
    two, _ = model(other, model.initial_state(1))
    assert torch.allclose(one[:, :10], two[:, :10], atol=1e-6)  # float32 rounding
    assert not torch.allclose(one[:, 10:], two[:, 10:], atol=1e-3)


@pytest.mark.parametrize("cell", CELLS)
def test_rows_do_not_depend_on_each_other(cell: CellName) -> None:
    model = make(cell).eval()
    ids = torch.randint(len(SYMBOLS), (2, 7))
    both, _ = model(ids, model.initial_state(2))
    alone, _ = model(ids[1:], model.initial_state(1))
    assert torch.allclose(both[1:], alone, atol=1e-6)  # float32 rounding


@pytest.mark.parametrize("cell", CELLS)
def test_state_is_named_and_batch_first(cell: CellName) -> None:
    model = make(cell)
    names = {
        "rnn": ("hidden",),
        "gru": ("hidden",),
        "lstm": ("hidden", "cell"),
        "tcn": ("context_0", "context_1", "context_2", "context_3"),
    }
    shapes = [tuple(part.shape) for part in model.initial_state(3)]
    assert model.state_names == names[cell]
    if cell == "tcn":  # kernel 3 keeps 2 steps of dilation 1, then 4 of dilation 2
        assert shapes == [(3, 4, 2), (3, 6, 2), (3, 6, 4), (3, 6, 4)]
    else:
        assert shapes == [(3, 2, 6)] * len(names[cell])
    _, state = model(torch.zeros(3, 5, dtype=torch.int64), model.initial_state(3))
    assert [tuple(part.shape) for part in state] == shapes


@pytest.mark.parametrize("cell", CELLS)
def test_model_learns_one_batch_by_heart(cell: CellName) -> None:
    model = make(cell, width=24)
    ids = torch.randint(len(SYMBOLS), (2, 17))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(80):
        logits, _ = model(ids[:, :-1], model.initial_state(2))
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert loss.item() < 0.05  # chance: ln 5 = 1.6


def test_forget_gates_begin_open_and_the_other_gates_as_pytorch_has_them() -> None:
    model = make("lstm")
    assert isinstance(model.recurrent, nn.LSTM)
    torch.manual_seed(0)
    nn.Embedding(len(SYMBOLS), 4)
    plain = nn.LSTM(4, 6, 2)
    for layer in range(2):
        own, other = (
            getattr(lstm, f"bias_ih_l{layer}") + getattr(lstm, f"bias_hh_l{layer}")
            for lstm in (model.recurrent, plain)
        )
        assert torch.equal(own[6:12], torch.ones(6))
        assert torch.equal(own[:6], other[:6])
        assert torch.equal(own[12:], other[12:])


def test_vocabulary_travels_with_the_weights() -> None:
    other = CharModel(TextModelConfig(width=6, embedding=4), ("?",) * len(SYMBOLS), 0.0)
    other.load_state_dict(make("lstm").state_dict())
    assert other.symbols == SYMBOLS


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_is_for_training_alone(cell: CellName) -> None:
    model = make(cell, layers=1, dropout=0.5)
    ids, state = torch.zeros(1, 4, dtype=torch.int64), model.initial_state(1)
    assert not torch.equal(model(ids, state)[0], model(ids, state)[0])
    model.eval()
    assert torch.equal(model(ids, state)[0], model(ids, state)[0])


def test_build_model_draws_the_head_as_configured() -> None:
    config = TextConfig(
        model=TextModelConfig(width=6, embedding=4), init=InitConfig(name="uniform", bound=1e-3)
    )
    head = build_model(config, SYMBOLS).head
    assert head.weight.abs().max() <= 1e-3
    assert not head.bias.any()
