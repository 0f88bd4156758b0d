"""Configuration of family ``mnist``. The defaults are the LeNet's recipe."""

from typing import Annotated, Literal

from pydantic import Field

from quartet.config import Config
from training.config import ActivationName, TrainingConfig

ArchName = Literal["mlp", "lenet", "resnet"]
"""Architectures of ``training.mnist.model``."""
Width = Annotated[int, Field(ge=1)]
"""Units of a layer."""


class MnistModelConfig(Config):
    """Architecture; see ``training.mnist.model``."""

    arch: ArchName = "lenet"
    """mlp: fully connected; lenet: convolutions; resnet: convolutions with skip connections."""
    channels: tuple[Width, ...] = (32, 64)
    """Channels of each convolution (lenet: two) or stage (resnet); unused by mlp."""
    hidden: tuple[Width, ...] = (256,)
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


class MnistConfig(TrainingConfig):
    """Trains a classifier of handwritten digits on MNIST."""

    model: MnistModelConfig = MnistModelConfig()
    """Architecture."""
