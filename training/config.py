"""Typed configuration that every family shares.

A family subclasses ``TrainingConfig``, adds its ``model`` section and may narrow others. Values
come from flags, ``QUARTET_*`` environment variables, a TOML file and the family's recipe, in that
order of precedence (``quartet.config.load_config``); an unknown key is an error.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from quartet.config import Config

ActivationName = Literal["sigmoid", "tanh", "relu", "leaky_relu", "elu", "maxout"]
"""Names of ``training.nn.activations``."""
LossName = Literal["cross_entropy", "least_squares"]
"""Names of ``training.nn.losses``."""
OptimizerName = Literal[
    "sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"
]
"""Names of ``training.nn.optimizers``."""
InitName = Literal["default", "uniform", "normal", "xavier", "kaiming"]
"""Names of ``training.nn.initialisation``."""
ScheduleName = Literal["constant", "step", "exponential", "cosine", "one_cycle"]
"""Names of ``training.nn.schedules``."""

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A share in [0, 1)."""


class AugmentationConfig(Config):
    """Random affine map of each training picture, drawn anew at every step."""

    rotation_deg: float = Field(default=10.0, ge=0.0, le=180.0)
    """Largest rotation either way, degrees. All three at 0 switch augmentation off."""
    shift: Fraction = 0.08
    """Largest shift along each axis, as a share of the side."""
    scale: Fraction = 0.10
    """Largest enlargement or shrinking, as a share of the size."""

    @property
    def enabled(self) -> bool:
        """Whether any of the three is above 0."""
        return self.rotation_deg > 0 or self.shift > 0 or self.scale > 0


class DataConfig(Config):
    """Batches."""

    batch_size: int = Field(default=128, ge=1)
    """Rows of one optimiser step, all processes together."""
    validation_batch_size: int = Field(default=1000, ge=1)
    """Rows of one forward pass of validation."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """Random affine map of the training pictures."""
    verify: bool = True
    """Refuse files whose SHA-256 is not that of the published data set."""


class OptimizerConfig(Config):
    """Update rule; equations and papers are in ``training.nn.optimizers``."""

    name: OptimizerName = "adamw"
    """Update rule."""
    lr: float = Field(default=4e-3, gt=0.0)
    """Learning rate; the peak where a schedule varies it."""
    momentum: Fraction = 0.9
    """Velocity kept from step to step (momentum, nesterov); one_cycle moves it from 0.95 to 0.85
    and back instead."""
    beta1: Fraction = 0.9
    """Decay of the mean of gradients (adam, adamw); one_cycle moves it from 0.95 to 0.85 and back
    instead."""
    beta2: Fraction = 0.999
    """Decay of the mean of squared gradients (adam, adamw)."""
    rho: Fraction = 0.9
    """Decay of the mean of squared gradients (adadelta, rmsprop)."""
    eps: float = Field(default=1e-8, gt=0.0)
    """Added to denominators (adagrad, adadelta, rmsprop, adam, adamw)."""


class ScheduleConfig(Config):
    """Learning rate over the steps of a run; see ``training.nn.schedules``."""

    name: ScheduleName = "one_cycle"
    """Shape of the curve."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps of linear rise from ``lr / warmup_steps`` before the curve begins. one_cycle has its
    own rise and takes none."""
    step_epochs: int = Field(default=5, ge=1)
    """Epochs between two drops (step)."""
    gamma: float = Field(default=0.7, gt=0.0, le=1.0)
    """Factor of each drop (step) or of each epoch (exponential)."""
    final_fraction: Fraction = 0.0
    """Last learning rate as a share of ``lr`` (cosine)."""
    peak_at: float = Field(default=0.3, gt=0.0, lt=1.0)
    """Share of the steps before the peak (one_cycle)."""
    start_divisor: float = Field(default=25.0, ge=1.0)
    """``lr`` over the first learning rate (one_cycle)."""
    end_divisor: float = Field(default=1e4, ge=1.0)
    """First over last learning rate (one_cycle)."""


class LossConfig(Config):
    """Training objective; see ``training.nn.losses``."""

    name: LossName = "cross_entropy"
    """Objective."""
    label_smoothing: Fraction = 0.0
    """Probability mass spread evenly over all classes (cross_entropy)."""


class RegularisationConfig(Config):
    """What keeps a model from fitting its training set alone."""

    weight_decay: float = Field(default=1e-2, ge=0.0)
    """L2 strength; see ``training.nn.optimizers`` for the equation of each rule."""
    decay_biases: bool = False
    """Also decay biases and normalisation gains."""
    dropout: Fraction = 0.4
    """Probability of zeroing a hidden unit (Srivastava et al. 2014)."""
    clip_norm: float = Field(default=0.0, ge=0.0)
    """Largest L2 norm of all gradients together (Pascanu et al. 2013); 0 clips nothing."""
    early_stopping_epochs: int = Field(default=0, ge=0)
    """Stop after this many validations without improvement (Prechelt 1998); 0 never stops."""
    ema_decay: Fraction = 0.0
    """Decay of the running mean of the weights that is validated and kept as the best model
    (Polyak and Juditsky 1992); 0 keeps the weights themselves."""


class InitConfig(Config):
    """First values of the weights; see ``training.nn.initialisation``.

    Biases begin at 0, but for ``default``.
    """

    name: InitName = "default"
    """Distribution. default: the layer's own (PyTorch's)."""
    bound: float = Field(default=0.05, gt=0.0)
    """Half width (uniform)."""
    std: float = Field(default=0.02, gt=0.0)
    """Standard deviation (normal)."""


class PrecisionConfig(Config):
    """Arithmetic of the forward and backward pass; weights stay float32."""

    compute: Literal["float32", "bfloat16", "float16"] = "float32"
    """Autocast type (Micikevicius et al. 2018). float16 runs on CUDA alone, with loss scaling."""
    channels_last: bool = False
    """Keep pictures and kernels as NHWC, which bfloat16 convolutions on CPUs want."""


class RunConfig(Config):
    """The run itself."""

    seed: int = Field(default=1, ge=0, lt=2**63)
    """Root of every random number of the run."""
    epochs: int = Field(default=12, ge=1)
    """Passes over the training split; the schedule is planned for all of them."""
    max_steps: int = Field(default=0, ge=0)
    """Stop, resumably, when this many steps of the run are done; 0 goes on to the end."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where PyTorch finds it, else the CPU."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of PyTorch; 0 takes every core this process may use."""
    deterministic: bool = True
    """Refuse operations whose result varies from run to run."""
    log_every: int = Field(default=20, ge=1)
    """Steps between two lines of training metrics."""
    checkpoint_every: int = Field(default=0, ge=0)
    """Steps between two writes of last.pt, besides the one after each epoch; 0 for none."""
    progress: bool = True
    """Show a progress bar on standard error."""
    dir: Path = Path("runs")
    """Folder of runs; this one goes to ``<dir>/<family>/<name>``."""
    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    """Folder of this run; empty: made from the model and the seed."""


class TrainingConfig(Config):
    """What every family is trained with. A family adds ``model``."""

    data_dir: Path = Path("data")
    """Folder of data sets; ``QUARTET_DATA_DIR`` sets it too."""
    download: bool = False
    """Fetch missing files of a public data set into ``data_dir``, checked by SHA-256."""
    data: DataConfig = DataConfig()
    """Batches and augmentation."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Update rule."""
    schedule: ScheduleConfig = ScheduleConfig()
    """Learning rate over time."""
    loss: LossConfig = LossConfig()
    """Objective."""
    regularisation: RegularisationConfig = RegularisationConfig()
    """Weight decay, dropout, clipping, early stopping, weight averaging."""
    init: InitConfig = InitConfig()
    """First values of the weights."""
    precision: PrecisionConfig = PrecisionConfig()
    """Number formats."""
    run: RunConfig = RunConfig()
    """Seed, length, device, output."""
