"""Configuration of family ``encoder``. The defaults are those of ``recipes/classes.toml``."""

from pydantic import model_validator

from training.config import TrainingConfig
from training.vision.config import PhotoDataConfig, ResidualConfig


class EncoderConfig(TrainingConfig):
    """Trains a residual network to name the class of a photograph."""

    model: ResidualConfig = ResidualConfig()
    """Architecture."""
    data: PhotoDataConfig = PhotoDataConfig()
    """Batches and views."""

    @model_validator(mode="after")
    def _refuse_what_photos_lack(self) -> "EncoderConfig":
        if self.loss.name != "cross_entropy":
            raise ValueError(f"loss.name: encoder wants cross_entropy, got {self.loss.name}")
        if self.data.augmentation.enabled:
            raise ValueError("data.augmentation: photographs have data.crop; its values must be 0")
        return self
