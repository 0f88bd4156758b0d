"""Architectures: shapes, sizes, options."""

import pytest
import torch
from torch import nn

from quartet.config import ConfigError
from training.config import ActivationName, InitConfig
from training.mnist.config import ArchName, MnistConfig, MnistModelConfig
from training.mnist.model import ResidualBlock, build_model

CHANNELS: dict[ArchName, tuple[int, ...]] = {"mlp": (), "lenet": (4, 6), "resnet": (4, 6, 8)}


def model_config(
    arch: ArchName, activation: ActivationName = "relu", *, batch_norm: bool = False
) -> MnistModelConfig:
    return MnistModelConfig(
        arch=arch,
        channels=CHANNELS[arch],
        hidden=(12, 7),
        blocks=1,
        activation=activation,
        batch_norm=batch_norm,
    )


@pytest.mark.parametrize("arch", CHANNELS)
@pytest.mark.parametrize("activation", ["relu", "maxout"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_build_model_maps_pictures_to_ten_logits(
    arch: ArchName, activation: ActivationName, batch_norm: bool
) -> None:
    model = build_model(MnistConfig(model=model_config(arch, activation, batch_norm=batch_norm)))
    assert model(torch.randn(3, 1, 28, 28)).shape == (3, 10)


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (MnistModelConfig(arch="mlp", hidden=(512, 512)), 669_706),
        (MnistModelConfig(arch="lenet"), 317_066),
        (MnistModelConfig(arch="resnet", channels=(16, 32, 64), batch_norm=True), 174_970),
    ],
)
def test_build_model_has_the_recipe_size(config: MnistModelConfig, parameters: int) -> None:
    model = build_model(MnistConfig(model=config))
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("arch", ["lenet", "resnet"])
def test_build_model_names_a_wrong_number_of_channels(arch: ArchName) -> None:
    config = MnistConfig(model=MnistModelConfig(arch=arch, channels=(4,)))
    with pytest.raises(ConfigError, match=rf"model\.channels: {arch} wants . values, got \[4\]"):
        build_model(config)


def test_build_model_follows_the_seed() -> None:
    torch.manual_seed(5)
    one = build_model(MnistConfig()).state_dict()
    torch.manual_seed(5)
    two = build_model(MnistConfig()).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_build_model_draws_weights_as_the_config_says() -> None:
    model = build_model(MnistConfig(init=InitConfig(name="uniform", bound=0.001)))
    assert max(p.abs().max() for p in model.parameters()) <= 0.001


def test_residual_block_with_zero_residual_passes_its_input_on() -> None:
    block = ResidualBlock(model_config("resnet"), 4, 4, stride=1)
    for layer in block.residual.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    x = torch.rand(2, 4, 6, 6)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("pool", ["max", "average"])
def test_lenet_pools_as_the_config_says(pool: str) -> None:
    config = MnistConfig(model=MnistModelConfig(pool="max" if pool == "max" else "average"))
    kinds = {type(layer) for layer in build_model(config).modules()}
    assert (nn.MaxPool2d in kinds, nn.AvgPool2d in kinds) == (pool == "max", pool == "average")


def test_dropout_acts_in_training_alone() -> None:
    model = build_model(MnistConfig())
    x = torch.randn(4, 1, 28, 28)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
