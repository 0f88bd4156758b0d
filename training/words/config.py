"""Configuration of family ``words``. The defaults are those of its recipe."""

from pathlib import Path

from pydantic import Field, field_serializer, model_validator

from training.config import TrainingConfig
from training.vision.config import PhotoDataConfig, ResidualConfig


class WordsDataConfig(PhotoDataConfig):
    """Pictures with captions."""

    side: int = Field(default=160, ge=32, le=1024)
    """Height and width at which pictures are kept, pixels."""
    words: int = Field(default=400, ge=1)
    """Most frequent words of the training captions to be told, those without meaning of their own
    (``training.words.targets``) left out."""
    agreement: int = Field(default=2, ge=1)
    """Captions of a picture that must use a word for it to count as shown."""


class WordsConfig(TrainingConfig):
    """Adapts an encoder to captioned pictures: which words do people use of each?"""

    dataset: str = Field(default="flickr8k", min_length=1)
    """flickr8k, or a folder in COCO's layout."""
    encoder: str = ""
    """Run whose encoder is adapted, for instance ``runs/encoder/classes``; or
    ``torchvision:resnet50`` and its like. Empty: a new one."""
    model: ResidualConfig = ResidualConfig()
    """Architecture of the encoder."""
    data: WordsDataConfig = WordsDataConfig()
    """Pictures, words, views."""

    @field_serializer("dataset", "encoder")
    def _without_folder(self, path: str) -> str:
        """A run is published, and where its data and its like lie is this machine's business."""
        return "/".join(Path(path).parts[-2:]) if Path(path).is_absolute() else path

    @model_validator(mode="after")
    def _refuse_what_words_lack(self) -> "WordsConfig":
        if self.loss.name != "cross_entropy" or self.loss.label_smoothing:
            raise ValueError("loss: words has cross_entropy of each word, without smoothing")
        if self.data.augmentation.enabled:
            raise ValueError("data.augmentation: photographs have data.crop; its values must be 0")
        return self
