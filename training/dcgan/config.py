"""Configuration of family ``dcgan``. The defaults are those of ``recipes/faces.toml``."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_serializer, model_validator

from quartet.config import Config
from training.config import (
    AugmentationConfig,
    DataConfig,
    Fraction,
    InitConfig,
    InitName,
    OptimizerConfig,
    OptimizerName,
    RegularisationConfig,
    ScheduleConfig,
    ScheduleName,
    TrainingConfig,
)

Policy = Literal["colour", "translation", "cutout"]
"""Names of ``training.dcgan.augment``."""
Condition = Literal["none", "class", "prompt"]
"""What a generator is told beside the noise."""


class DcganModelConfig(Config):
    """Architecture of ``training.dcgan.model``."""

    side: int = Field(default=64, ge=16, le=256)
    """Height and width of a picture, pixels: 4, 5, 6 or 7 times a power of two."""
    channels: int = 3
    """1: grey; 3: red, green, blue."""
    latent: int = Field(default=100, ge=2, le=1024)
    """Length of z."""
    generator_width: int = Field(default=64, ge=4)
    """Channels of the generator's last hidden layer; each earlier one has twice as many."""
    discriminator_width: int = Field(default=64, ge=4)
    """Channels of the discriminator's first layer; each later one has twice as many."""
    condition: Condition = "none"
    """none: noise alone; class: one of the data's classes (Mirza, Osindero 2014); prompt: words
    that describe the picture (Reed et al. 2016)."""
    condition_width: int = Field(default=64, ge=1)
    """Numbers that stand for a class or a prompt."""
    spectral_norm: bool = False
    """Divide each weight of the discriminator by its largest singular value, in place of batch
    normalisation (Miyato et al. 2018, algorithm 1)."""


class AdversarialConfig(Config):
    """What the two networks play for, and what keeps the game going."""

    objective: Literal["cross_entropy", "hinge"] = "cross_entropy"
    """cross_entropy: the non-saturating game (Goodfellow et al. 2014, section 3); hinge: Lim, Ye
    2017."""
    real_label: float = Field(default=0.9, gt=0.5, le=1.0)
    """Target of real pictures, one-sided smoothing below 1 (Salimans et al. 2016, section 3.4);
    cross_entropy alone."""
    discriminator_lr_factor: float = Field(default=1.0, gt=0.0)
    """The discriminator's learning rate over the generator's: two time scales (Heusel et al.
    2017)."""
    augment: tuple[Policy, ...] = ()
    """Differentiable augmentation of what the discriminator sees, real and generated alike (Zhao
    et al. 2020)."""
    mismatch_weight: Fraction = 0.5
    """Share of real pictures with a wrong class or prompt in the discriminator's loss on fakes
    (GAN-CLS, Reed et al. 2016, algorithm 1)."""


class PicturesConfig(DataConfig):
    """Batches of pictures."""

    batch_size: int = Field(default=64, ge=2)
    """Real pictures of one step, all processes together; as many are generated."""
    flip: bool = False
    """Mirror every other picture."""
    augmentation: AugmentationConfig = AugmentationConfig(rotation_deg=0.0, shift=0.0, scale=0.0)
    """Of labelled digits; a generator would learn the distortion, and all three must be 0."""


class AdversarialOptimizerConfig(OptimizerConfig):
    """Update rule, with the values of Radford et al. 2016, section 4."""

    name: OptimizerName = "adam"
    """Update rule."""
    lr: float = Field(default=2e-4, gt=0.0)
    """Learning rate."""
    beta1: Fraction = 0.5
    """Decay of the mean of gradients."""


class AdversarialScheduleConfig(ScheduleConfig):
    """Learning rate over the steps."""

    name: ScheduleName = "constant"
    """Shape of the curve."""


class AdversarialRegularisationConfig(RegularisationConfig):
    """What keeps the weights in bounds."""

    weight_decay: float = Field(default=0.0, ge=0.0)
    """L2 strength."""
    dropout: Fraction = 0.0
    """There is none; must be 0."""
    ema_decay: Fraction = 0.999
    """Decay of the running mean of the generator's weights, which is what is kept."""


class AdversarialInitConfig(InitConfig):
    """First values of the weights: N(0, 0.02^2) (Radford et al. 2016, section 4)."""

    name: InitName = "normal"
    """Distribution."""


class DcganConfig(TrainingConfig):
    """Trains a generator and a discriminator against each other."""

    dataset: str = Field(default="utkface", min_length=1)
    """mnist, utkface, or a folder or zip file of pictures, whose folders are their classes."""
    model: DcganModelConfig = DcganModelConfig()
    """Architecture."""
    adversarial: AdversarialConfig = AdversarialConfig()
    """Objective and stabilisers."""
    data: PicturesConfig = PicturesConfig()
    """Batches."""
    optimizer: AdversarialOptimizerConfig = AdversarialOptimizerConfig()
    """The generator's; the discriminator's differs by its learning rate alone."""
    schedule: AdversarialScheduleConfig = AdversarialScheduleConfig()
    """Of both."""
    regularisation: AdversarialRegularisationConfig = AdversarialRegularisationConfig()
    """``ema_decay`` averages the generator."""
    init: AdversarialInitConfig = AdversarialInitConfig()
    """First values of the weights."""

    @field_serializer("dataset")
    def _without_folder(self, path: str) -> str:
        """A run is published, and where its data lie is this machine's business."""
        return "/".join(Path(path).parts[-2:]) if Path(path).is_absolute() else path

    @model_validator(mode="after")
    def _check_pictures(self) -> "DcganConfig":
        if self.data.augmentation.enabled:
            raise ValueError(
                "data.augmentation: dcgan has adversarial.augment; its values must be 0"
            )
        if self.data.flip and self.dataset == "mnist":
            raise ValueError("data.flip: mirrored digits are no digits; set it to false")
        if self.model.channels not in (1, 3):
            raise ValueError(f"model.channels: expected 1 or 3, got {self.model.channels}")
        base = self.model.side
        while base > 7 and base % 2 == 0:
            base //= 2
        if base not in (4, 5, 6, 7):
            raise ValueError(
                f"model.side: expected 4, 5, 6 or 7 times a power of two, got {self.model.side}"
            )
        return self

    @model_validator(mode="after")
    def _refuse_what_has_no_effect(self) -> "DcganConfig":
        if self.adversarial.objective == "hinge" and self.adversarial.real_label != 1.0:
            raise ValueError("adversarial.real_label: hinge has no labels; set it to 1")
        if self.loss.name != "cross_entropy" or self.loss.label_smoothing:
            raise ValueError(
                "loss: dcgan has adversarial.objective and adversarial.real_label instead"
            )
        if self.regularisation.dropout:
            raise ValueError("regularisation.dropout: dcgan has none; set it to 0")
        if self.regularisation.early_stopping_epochs:
            raise ValueError(
                "regularisation.early_stopping_epochs: no number says which epoch is best; set it "
                "to 0"
            )
        return self
