"""Configuration shared by the families that read photographs."""

from typing import Annotated

from pydantic import Field

from quartet.config import Config
from training.config import AugmentationConfig, DataConfig, Fraction

Channels = Annotated[int, Field(ge=1)]
"""Channels of a stage."""
Share = Annotated[float, Field(gt=0.0, le=1.0)]
"""A share in (0, 1]."""


class ResidualConfig(Config):
    """Architecture of ``training.vision.resnet``."""

    channels: tuple[Channels, Channels, Channels, Channels] = (48, 96, 192, 320)
    """Channels of the four stages."""
    blocks: int = Field(default=2, ge=1, le=16)
    """Residual blocks a stage; 2 is a ResNet-18."""


class CropConfig(Config):
    """Random view of each training picture, drawn anew at every step."""

    smallest: Share = 0.4
    """Least area of the part that is shown, as a share of the picture; 1 shows all of it."""
    ratio: float = Field(default=4 / 3, ge=1.0, le=4.0)
    """Largest width over height of the part, or height over width."""
    flip: bool = True
    """Mirror every other picture."""
    jitter: Fraction = 0.3
    """Largest change of brightness, contrast and saturation, as a share of each."""


class PhotoDataConfig(DataConfig):
    """Batches of photographs."""

    sides: tuple[Annotated[int, Field(ge=16, le=1024)], ...] = Field(default=(64,), min_length=1)
    """Height and width of the training views, pixels, for equal shares of the epochs: small
    pictures first cost less and teach most of it (Tan, Le 2021, section 4)."""
    validation_side: int = Field(default=64, ge=16, le=1024)
    """Height and width in validation, pixels."""
    crop: CropConfig = CropConfig()
    """Random views."""
    augmentation: AugmentationConfig = AugmentationConfig(rotation_deg=0.0, shift=0.0, scale=0.0)
    """Of drawn digits; photographs have ``crop`` instead, and all three must be 0."""
