"""Encoders whose weights come from an earlier run or from torchvision."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from quartet.config import ConfigError
from training.checkpoint import CheckpointError, load_checkpoint
from training.provenance import sha256_of
from training.rundir import RunDirectory
from training.vision.config import ResidualConfig
from training.vision.resnet import ResidualEncoder

TORCHVISION = "torchvision:"
"""Prefix of the name of an encoder that torchvision has."""
_PREFIX = "encoder."
"""Of the encoder's weights in a checkpoint of any family that has one."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """An encoder and where it comes from."""

    encoder: nn.Module
    """Standardised [B, 3, H, W] to features [B, channels, h, w]."""
    channels: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For summary.json: the source, its command and the SHA-256 of its weights."""


class TorchvisionEncoder(nn.Module):
    """A torchvision ResNet without its average and its classifier; cells of 32 pixels."""

    def __init__(self, name: str, *, weights: bool) -> None:
        """Build ``name``, with ImageNet's weights (fetched or cached by torchvision) if wanted.

        Raises:
            ConfigError: torchvision is not installed, or has no ResNet of that name.
        """
        super().__init__()
        try:
            models = importlib.import_module("torchvision.models")
        except ImportError as error:
            raise ConfigError(
                f"encoder: {TORCHVISION}{name} needs torchvision, which is not installed"
            ) from error
        if not name.startswith(("resnet", "resnext", "wide_resnet")) or name not in (
            models.list_models()
        ):
            raise ConfigError(f"encoder: torchvision has no ResNet called {name!r}")
        network = models.get_model(name, weights="DEFAULT" if weights else None)
        self.channels = int(network.fc.in_features)
        self.layers = nn.Sequential(*list(network.children())[:-2])

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, channels, H/32, W/32] of standardised [B, 3, H, W]."""
        y: Tensor = self.layers(x)
        return y


def make_encoder(source: str, residual: ResidualConfig) -> Pretrained:
    """The architecture that ``source`` and ``residual`` mean, with weights of no meaning."""
    if source.startswith(TORCHVISION):
        network = TorchvisionEncoder(source.removeprefix(TORCHVISION), weights=False)
        return Pretrained(network, network.channels)
    encoder = ResidualEncoder(residual.channels, residual.blocks)
    return Pretrained(encoder, encoder.channels)


def load_encoder(source: str, residual: ResidualConfig) -> Pretrained:
    """The encoder that ``source`` names, with its weights.

    Args:
        source: a run directory of a family that has an encoder; ``torchvision:<name>``; or empty
            for a new ``residual`` one, drawn from PyTorch's global generator.
        residual: what a run's encoder must look like.

    Raises:
        ConfigError: there is no such run or network, or it is of another architecture.
        CheckpointError: the run's weights are missing, damaged or hold no encoder.
    """
    if source.startswith(TORCHVISION):
        network = TorchvisionEncoder(source.removeprefix(TORCHVISION), weights=True)
        return Pretrained(network, network.channels, {"encoder": source})
    made = make_encoder("", residual)
    if not source:
        return made
    run = RunDirectory(Path(source))
    family, values = run.read_config()
    found = _residual_of(family, values, source)
    if found != residual:
        raise ConfigError(f"encoder: {source} has {found!r}, but the model asks for {residual!r}")
    weights = load_checkpoint(run.best).get("model")
    own = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in cast(Mapping[str, Tensor], weights or {}).items()
        if name.startswith(_PREFIX)
    }
    try:
        made.encoder.load_state_dict(own)
    except RuntimeError as error:
        raise CheckpointError(f"{run.best} holds no encoder of {source}: {error}") from error
    return Pretrained(made.encoder, made.channels, origin(source))


def origin(source: str) -> dict[str, Any]:
    """What summary.json should say of the run ``source`` whose weights were taken over.

    Where that run took weights over itself, ``start`` says the same of its own source, so that all
    commands which lead to a model are known.
    """
    run = RunDirectory(Path(source))
    found: dict[str, Any] = {
        "from": "/".join(Path(source).parts[-2:]),
        "command": run.first_command(),
        "sha256": sha256_of(run.best),
    }
    try:
        earlier = json.loads(run.summary.read_text(encoding="utf-8")).get("start")
    except FileNotFoundError:  # a run that was stopped before its end has none
        earlier = None
    return {**found, "start": earlier} if earlier else found


def _residual_of(family: str, values: Mapping[str, Any], source: str) -> ResidualConfig:
    model = values.get("model")
    if isinstance(model, Mapping) and family == "caption":
        model = model.get("residual")
    if not isinstance(model, Mapping) or "blocks" not in model:
        raise ConfigError(f"encoder: {source} is a run of family {family!r}, which has no encoder")
    return ResidualConfig.model_validate(dict(model))
