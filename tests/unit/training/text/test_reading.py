"""Loss by the length of the context."""

import math
import statistics

import pytest
import torch

from training.text.config import TextConfig
from training.text.model import CharModel, build_model
from training.text.reading import context_losses
from training.text.streams import stream_loss


@pytest.fixture
def model() -> CharModel:
    torch.manual_seed(0)
    values = {"cell": "lstm", "width": 8, "embedding": 4}
    return build_model(TextConfig.model_validate({"model": values}), "abc").eval()


def test_groups_are_powers_of_two_up_to_the_piece(model: CharModel) -> None:
    groups = context_losses(model, torch.randint(3, (200,)), window=12)
    assert [(group["from"], group["to"]) for group in groups] == [(1, 1), (2, 3), (4, 7), (8, 11)]


def test_groups_together_give_the_loss_of_pieces_read_from_zero(model: CharModel) -> None:
    torch.manual_seed(1)
    ids = torch.randint(3, (200,))
    groups = context_losses(model, ids, window=10)
    sizes = [group["to"] - group["from"] + 1 for group in groups]
    mean = sum(g["bits_per_character"] * n for g, n in zip(groups, sizes, strict=True)) / sum(sizes)
    losses = [stream_loss(model, piece, 1) for piece in torch.split(ids, 10)]
    expected = statistics.mean(losses) / math.log(2)
    # Sums of float32 logits in another order.
    assert mean == pytest.approx(expected, rel=1e-6)


def test_text_shorter_than_a_piece_is_one(model: CharModel) -> None:
    groups = context_losses(model, torch.tensor([0, 1, 2, 1]), window=512)
    assert [(group["from"], group["to"]) for group in groups] == [(1, 1), (2, 3)]
