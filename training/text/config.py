"""Configuration of family ``text``. The defaults are those of the LSTM's recipe."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_serializer, model_validator

from quartet.config import Config
from training.config import AugmentationConfig, DataConfig, TrainingConfig

CellName = Literal["rnn", "gru", "lstm", "tcn"]
"""Sequence models of ``training.text.model``."""


class TextModelConfig(Config):
    """Architecture; see ``training.text.model``."""

    cell: CellName = "lstm"
    """rnn, gru, lstm: recurrent layers; tcn: dilated causal convolutions."""
    layers: int = Field(default=2, ge=1, le=16)
    """Recurrent layers, or residual blocks of two convolutions (tcn)."""
    width: int = Field(default=512, ge=1)
    """Units of each layer; channels of each convolution (tcn)."""
    embedding: int = Field(default=64, ge=1)
    """Length of a character's embedding."""
    forget_bias: float = 1.0
    """First bias of the forget gates (lstm); 1 keeps the cell open at the start (Jozefowicz et al.
    2015)."""
    kernel: int = Field(default=3, ge=2)
    """Taps of each convolution (tcn)."""
    weight_norm: bool = False
    """Learn length and direction of each kernel apart (tcn; Salimans, Kingma 2016)."""


class TextDataConfig(DataConfig):
    """Batches of parallel streams; see ``training.text.streams``."""

    batch_size: int = Field(default=32, ge=1)
    """Parallel streams of the training text, all processes together."""
    sequence_length: int = Field(default=128, ge=1)
    """Characters of one stream in one step; gradients reach no further back, the state does."""
    validation_batch_size: int = Field(default=512, ge=1)
    """Characters of one stream in one forward pass of validation."""
    validation_streams: int = Field(default=16, ge=1)
    """Parallel streams of the validation text, each from a zero state."""
    min_count: int = Field(default=1, ge=1)
    """Characters that occur less often in the training split become U+FFFD."""
    augmentation: AugmentationConfig = AugmentationConfig(rotation_deg=0.0, shift=0.0, scale=0.0)
    """Of no use for text; all three must be 0."""
    verify: bool = True
    """Refuse a named corpus whose SHA-256 is not the known one."""


class TextConfig(TrainingConfig):
    """Trains a language model that predicts the next character of a text."""

    corpus: str = Field(default="shakespeare", min_length=1)
    """shakespeare, obama (files of ``<data_dir>/text``), or any UTF-8 file: its path, from here or
    from ``data_dir``. A run keeps an absolute path as the file's name alone."""
    model: TextModelConfig = TextModelConfig()
    """Architecture."""
    data: TextDataConfig = TextDataConfig()
    """Streams and vocabulary."""

    @field_serializer("corpus")
    def _without_folder(self, corpus: str) -> str:
        """A run is published, and where its text lies is this machine's business."""
        return Path(corpus).name if Path(corpus).is_absolute() else corpus

    @model_validator(mode="after")
    def _refuse_what_text_lacks(self) -> "TextConfig":
        if self.loss.name != "cross_entropy":
            raise ValueError(f"loss.name: text wants cross_entropy, got {self.loss.name}")
        if self.data.augmentation.enabled:
            raise ValueError("data.augmentation: text has none, its values must be 0")
        return self
