"""Configuration of family ``mnist``. The defaults are the LeNet's recipe."""

from typing import Literal, Self

from pydantic import Field, model_validator

from quartet.config import Config
from training.config import ActivationName, TrainingConfig

ArchName = Literal["mlp", "lenet", "resnet"]
"""Architectures of ``training.mnist.model``."""


class MnistModelConfig(Config):
    """Architecture; see ``training.mnist.model``."""

    arch: ArchName = "lenet"
    """mlp: fully connected; lenet: convolutions; resnet: convolutions with skip connections."""
    channels: tuple[int, ...] = (32, 64)
    """Channels of each convolution (lenet: two) or stage (resnet); unused by mlp."""
    hidden: tuple[int, ...] = (256,)
    """Widths of the hidden fully connected layers (mlp, lenet); unused by resnet."""
    blocks: int = Field(default=2, ge=1, le=18)
    """Residual blocks a stage (resnet)."""
    activation: ActivationName = "relu"
    """Non-linearity after each hidden layer."""
    maxout_pieces: int = Field(default=2, ge=2)
    """Affine pieces of a maxout unit."""
    batch_norm: bool = False
    """Normalise each hidden layer over the batch before its non-linearity (Ioffe, Szegedy 2015)."""
    pool: Literal["max", "average"] = "max"
    """2x2 pooling of lenet."""

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        wanted = {"mlp": 0, "lenet": 2, "resnet": 3}[self.arch]
        if wanted and len(self.channels) != wanted:
            raise ValueError(
                f"{self.arch} wants {wanted} values of channels, got {list(self.channels)}"
            )
        if any(width < 1 for width in (*self.channels, *self.hidden)):
            raise ValueError("widths must be at least 1")
        return self


class MnistConfig(TrainingConfig):
    """Trains a classifier of handwritten digits on MNIST."""

    model: MnistModelConfig = MnistModelConfig()
    """Architecture."""
