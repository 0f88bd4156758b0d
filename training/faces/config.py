"""Configuration of family ``faces``. The defaults are those of ``recipes/attributes.toml``."""

from pydantic import Field, model_validator

from training.config import TrainingConfig
from training.vision.config import PhotoDataConfig, ResidualConfig


class FacesConfig(TrainingConfig):
    """Trains a residual network to tell gender and age of a face of 64x64 pixels."""

    model: ResidualConfig = ResidualConfig(channels=(32, 64, 128, 256))
    """Architecture."""
    data: PhotoDataConfig = PhotoDataConfig()
    """Batches and views."""
    age_weight: float = Field(default=0.3, ge=0.0)
    """Weight of the cross entropy of the age beside that of the gender."""
    age_error_weight: float = Field(default=0.02, ge=0.0)
    """Weight of the absolute error of the expected age, a year."""

    @model_validator(mode="after")
    def _refuse_what_faces_lack(self) -> "FacesConfig":
        if self.loss.name != "cross_entropy" or self.loss.label_smoothing:
            raise ValueError(
                "loss: faces has cross_entropy without smoothing, which would spoil its use as a "
                "scorer of generated pictures"
            )
        if self.data.augmentation.enabled:
            raise ValueError("data.augmentation: photographs have data.crop; its values must be 0")
        return self
