"""Settings that every family has and text cannot use."""

import pytest
from pydantic import ValidationError

from training.config import AugmentationConfig, LossConfig
from training.text.config import TextConfig, TextDataConfig


def test_config_refuses_another_loss_than_cross_entropy() -> None:
    with pytest.raises(ValidationError, match=r"loss\.name: text wants cross_entropy"):
        TextConfig(loss=LossConfig(name="least_squares"))


def test_config_refuses_augmentation() -> None:
    with pytest.raises(ValidationError, match=r"data\.augmentation: text has none"):
        TextConfig(data=TextDataConfig(augmentation=AugmentationConfig()))


@pytest.mark.parametrize(
    ("corpus", "kept"),
    [("obama", "obama"), ("texts/war.txt", "texts/war.txt"), ("/home/me/war.txt", "war.txt")],
)
def test_config_of_a_run_keeps_no_folder_of_this_machine(corpus: str, kept: str) -> None:
    assert TextConfig(corpus=corpus).model_dump(mode="json")["corpus"] == kept
