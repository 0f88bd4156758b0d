"""Configuration of family ``caption``. The defaults are those of the attention model's recipe."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_serializer, model_validator

from quartet.config import Config
from training.config import Fraction, TrainingConfig
from training.vision.config import PhotoDataConfig, ResidualConfig

DecoderName = Literal["attention", "plain"]
"""Decoders of ``training.caption.model``."""


class CaptionModelConfig(Config):
    """Architecture; see ``training.caption.model``."""

    decoder: DecoderName = "attention"
    """attention: looks at a part of the picture for every word (Xu et al. 2015); plain: reads the
    picture once, before the first word (Vinyals et al. 2015)."""
    residual: ResidualConfig = ResidualConfig()
    """The encoder, where it is not torchvision's."""
    embedding: int = Field(default=256, ge=1)
    """Length of a word's embedding."""
    width: int = Field(default=512, ge=1)
    """Units of the LSTM."""
    values: int = Field(default=256, ge=1)
    """Length of a place's features as the decoder sees them."""
    keys: int = Field(default=128, ge=1)
    """Units of the attention."""
    output: int = Field(default=512, ge=1)
    """Units of the layer before the scores of the words."""


class CaptionDataConfig(PhotoDataConfig):
    """Pictures, captions, vocabulary."""

    batch_size: int = Field(default=64, ge=1)
    """Captions of one optimiser step, all processes together; pictures where the encoder learns
    too (``fine_tune``), with one caption each."""
    validation_batch_size: int = Field(default=128, ge=1)
    """Pictures of one forward pass of validation."""
    side: int = Field(default=160, ge=32, le=1024)
    """Height and width at which pictures are kept and read, pixels; a multiple of 16."""
    views: int = Field(default=4, ge=1, le=16)
    """Views of each training picture whose features are kept: all of it, mirrored, then random
    parts. Where the encoder learns, each view is drawn anew."""
    min_count: int = Field(default=5, ge=1)
    """Words that occur less often in the training captions are unknown."""
    max_words: int = Field(default=24, ge=1)
    """Longer training captions are cut here, and validation writes no longer ones."""


class AttentionLossConfig(Config):
    """What the objective adds for attention."""

    coverage: float = Field(default=1.0, ge=0.0)
    """Weight of doubly stochastic attention: sum_i (1 - sum_t alpha_ti)^2 / places (Xu et al. 2015,
    eq. 14)."""


class CaptionConfig(TrainingConfig):
    """Trains a network that says in words what a photograph shows."""

    dataset: str = Field(default="flickr8k", min_length=1)
    """flickr8k, or a folder in COCO's layout."""
    encoder: str = ""
    """Where the encoder's weights come from: a run of family words, encoder or caption
    (``runs/words/flickr8k``), or ``torchvision:resnet50`` and its like, with ImageNet's weights.
    Empty: a new one, drawn."""
    start: str = ""
    """A run of this family to go on from, decoder and encoder; empty: a new decoder."""
    fine_tune: bool = False
    """Whether the encoder learns too. Else its features are computed once."""
    encoder_rate: float = Field(default=0.1, gt=0.0, le=1.0)
    """Learning rate of the encoder as a share of the decoder's, where it learns."""
    model: CaptionModelConfig = CaptionModelConfig()
    """Architecture."""
    data: CaptionDataConfig = CaptionDataConfig()
    """Pictures, captions, vocabulary."""
    attention: AttentionLossConfig = AttentionLossConfig()
    """Objective of the attention."""
    word_dropout: Fraction = 0.0
    """Share of the words read that are replaced by the unknown word."""

    @field_serializer("dataset", "encoder", "start")
    def _without_folder(self, path: str) -> str:
        """A run is published, and where its data and its like lie is this machine's business."""
        return "/".join(Path(path).parts[-2:]) if Path(path).is_absolute() else path

    @model_validator(mode="after")
    def _refuse_what_captions_lack(self) -> "CaptionConfig":
        if self.loss.name != "cross_entropy":
            raise ValueError(f"loss.name: caption wants cross_entropy, got {self.loss.name}")
        if self.data.augmentation.enabled:
            raise ValueError("data.augmentation: photographs have data.crop; its values must be 0")
        return self
