"""What a model copies, beside held-out text."""

import numpy as np
import pytest
import torch

from training.text.config import TextConfig
from training.text.copying import measure_copying
from training.text.model import CharModel, build_model
from training.text.overlap import Ids


@pytest.fixture
def model() -> CharModel:
    torch.manual_seed(0)
    values = {"cell": "gru", "width": 8, "embedding": 4}
    return build_model(TextConfig.model_validate({"model": values}), "abcd").eval()


@pytest.fixture
def train() -> Ids:
    return np.random.default_rng(0).integers(0, 4, 3000)


def test_every_kind_has_as_many_texts_of_one_length(model: CharModel, train: Ids) -> None:
    held_out = np.random.default_rng(1).integers(0, 4, 500)
    found = measure_copying(model, train, held_out, (0.0, 1.0), texts=3, characters=50)
    assert list(found["sources"]) == ["temperature 0", "temperature 1", "held-out text"]
    assert [row["texts"] for row in found["sources"].values()] == [3, 3, 3]
    assert (found["texts"], found["characters"]) == (3, 50)


def test_held_out_text_that_repeats_the_training_text_is_a_whole_copy(
    model: CharModel, train: Ids
) -> None:
    found = measure_copying(model, train, train[100:300], (1.0,), texts=2, characters=100)
    copied = found["sources"]["held-out text"]
    assert (copied["longest"], copied["median"], copied["copied"]) == (100, 100.0, 1.0)
    assert found["sources"]["temperature 1"]["longest"] < 100


def test_short_held_out_text_gives_fewer_and_shorter_texts(model: CharModel, train: Ids) -> None:
    held_out = train[:130]
    assert measure_copying(model, train, held_out, (1.0,), 24, 50)["texts"] == 2
    assert measure_copying(model, train, held_out, (1.0,), 24, 2000)["characters"] == 130
