"""The seam between the trainer, which knows no family, and the families.

To add a family: a package ``training/<family>/`` whose ``task.py`` has a ``Family`` called
``FAMILY``, and one line in ``training.registry``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from training.config import TrainingConfig
from training.nn.schedules import StepPlan
from training.runtime import Runtime
from training.updater import Updater


@dataclass(frozen=True, slots=True)
class Monitor:
    """The validation metric that decides what is best."""

    metric: str
    """Key of what ``Task.validate`` returns."""
    mode: Literal["max", "min"]
    """Whether more is better."""

    def improves(self, value: float, best: float | None) -> bool:
        """Whether ``value`` beats ``best``; the first value always does, NaN never."""
        if value != value:
            return False
        if best is None:
            return True
        return value > best if self.mode == "max" else value < best


class Task(ABC):
    """What one run trains: models, updates and validation.

    A step draws random numbers from ``training.seeding`` by its number, or from PyTorch's global
    generators, which the trainer seeds before each step; so no state but that of ``modules`` and
    ``updaters`` has to survive a resume. State carried from batch to batch (a recurrent network's)
    belongs in a buffer of one of the modules.
    """

    plan: StepPlan
    """Length of the run."""
    monitor: Monitor
    """What is best."""

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Every module with state, by a name that never changes."""

    @abstractmethod
    def updaters(self) -> Mapping[str, Updater]:
        """Every updater, by a name that never changes: one, or a GAN's two."""

    @abstractmethod
    def best_model(self) -> nn.Module:
        """The module that was validated and whose state ``best.pt`` keeps."""

    @abstractmethod
    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do update number ``step`` (from 0) of the run.

        Returns:
            Scalars of this process by name, such as the loss, left on the device.
        """

    @abstractmethod
    def validate(self) -> Mapping[str, float]:
        """Metrics on the validation split by name, equal on every process."""

    def sheets(self) -> Mapping[str, npt.NDArray[np.uint8]]:
        """Pictures of what the model makes, by name: uint8 [rows, columns, 1 or 3].

        The process that leads asks for them after each epoch, so that one sees it learn.
        """
        return {}

    def rows_per_step(self) -> int:
        """Training rows of one step, all processes together, for the rate shown; 0 if unknown."""
        return 0

    def facts(self) -> Mapping[str, Any]:
        """What summary.json should say of the data and the model."""
        return {}


ConfigT = TypeVar("ConfigT", bound=TrainingConfig)


class Family(ABC, Generic[ConfigT]):
    """What the command line needs to train a family."""

    name: str
    """Name on the command line and in ``runs/<name>/``."""
    schema: type[ConfigT]
    """Configuration class."""

    def recipe(self, config: ConfigT) -> Mapping[str, Any]:
        """Values that replace the schema's defaults, chosen by the variant ``config`` asks for."""
        return {}

    @abstractmethod
    def run_name(self, config: ConfigT) -> str:
        """Name of a run that was given none."""

    @abstractmethod
    def make_task(self, config: ConfigT, runtime: Runtime) -> Task:
        """Load the data and build the models. Raises ConfigError or DataError."""
