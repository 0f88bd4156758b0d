"""Settings of generators: what cannot be trained is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from training.dcgan.config import DcganConfig, DcganModelConfig
from training.dcgan.task import FAMILY


@pytest.mark.parametrize("side", [16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 256])
def test_a_side_of_four_to_seven_times_a_power_of_two_is_taken(side: int) -> None:
    assert DcganConfig(model=DcganModelConfig(side=side)).model.side == side


@pytest.mark.parametrize("side", [17, 18, 30, 36, 50, 63, 72])
def test_another_side_is_refused(side: int) -> None:
    with pytest.raises(ValidationError, match=rf"model\.side: expected 4, 5.*, got {side}"):
        DcganConfig(model=DcganModelConfig(side=side))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"augmentation": {"shift": 0.1}}}, r"data\.augmentation: dcgan has adversarial"),
        ({"data": {"flip": True}, "dataset": "mnist"}, r"data\.flip: mirrored digits"),
        ({"adversarial": {"objective": "hinge"}}, r"adversarial\.real_label: hinge has no label"),
        ({"loss": {"name": "least_squares"}}, r"loss: dcgan has adversarial\.objective"),
        ({"loss": {"label_smoothing": 0.1}}, r"loss: dcgan has adversarial\.objective"),
        ({"regularisation": {"dropout": 0.1}}, r"regularisation\.dropout: dcgan has none"),
        (
            {"regularisation": {"dropout": 0.0, "early_stopping_epochs": 3}},
            r"regularisation\.early_stopping_epochs: no number says which epoch is best",
        ),
        ({"adversarial": {"augment": ["rotation"]}}, r"adversarial\.augment\.0"),
        ({"adversarial": {"real_label": 0.5}}, r"adversarial\.real_label"),
        ({"adversarial": {"mismatch_weight": 1.0}}, r"adversarial\.mismatch_weight"),
        ({"data": {"batch_size": 1}}, r"data\.batch_size"),
        ({"model": {"channels": 2}}, r"model\.channels: expected 1 or 3, got 2"),
        ({"model": {"side": 8}}, r"model\.side"),
        ({"dataset": ""}, "dataset"),
    ],
)
def test_config_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DcganConfig.model_validate({"model": {"side": 32}, **values})


def test_channels_may_come_from_a_command_line() -> None:
    config = DcganConfig.model_validate({"model": {"channels": "1"}})
    assert config.model.channels == 1


def test_hinge_without_smoothing_is_taken() -> None:
    config = DcganConfig.model_validate({"adversarial": {"objective": "hinge", "real_label": 1.0}})
    assert config.adversarial.objective == "hinge"


@pytest.mark.parametrize(
    ("dataset", "kept"),
    [("mnist", "mnist"), ("photos/cats", "photos/cats"), ("/home/me/cats.zip", "me/cats.zip")],
)
def test_config_of_a_run_keeps_two_parts_of_an_absolute_path(dataset: str, kept: str) -> None:
    assert DcganConfig(dataset=dataset).model_dump(mode="json")["dataset"] == kept


@pytest.mark.parametrize(
    ("dataset", "side", "channels"), [("mnist", 32, 1), ("utkface", 64, 3), ("photos", 64, 3)]
)
def test_recipe_suits_the_data_and_is_valid(dataset: str, side: int, channels: int) -> None:
    recipe = FAMILY.recipe(DcganConfig(dataset=dataset))
    config = DcganConfig.model_validate({"dataset": dataset, **recipe})
    assert (config.model.side, config.model.channels) == (side, channels)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"dataset": "mnist"}, "mnist-seed1"),
        ({"dataset": "mnist", "model": {"condition": "prompt", "side": 32}}, "mnist-prompt-seed1"),
        ({"dataset": "photos/cats.zip", "run": {"seed": 7}}, "cats-seed7"),
    ],
)
def test_run_is_named_by_data_condition_and_seed(values: dict[str, Any], name: str) -> None:
    assert FAMILY.run_name(DcganConfig.model_validate(values)) == name


def test_one_value_of_a_section_leaves_the_others_as_they_are() -> None:
    config = DcganConfig.model_validate({"regularisation": {"ema_decay": 0.99}})
    assert config.regularisation.dropout == 0
    assert config.regularisation.weight_decay == 0
    assert DcganConfig.model_validate({"optimizer": {"lr": 1e-4}}).optimizer.name == "adam"
    assert DcganConfig.model_validate({"init": {"std": 0.01}}).init.name == "normal"
