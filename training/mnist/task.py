"""How family ``mnist`` is trained and validated."""

from pathlib import Path

from pydantic import ValidationError
from torch import nn

from quartet.config import ConfigError, explain
from training.checkpoint import CheckpointError, load_checkpoint
from training.mnist.config import MnistConfig
from training.mnist.model import build_model
from training.rundir import RunDirectory


def load_trained(run_dir: Path) -> tuple[MnistConfig, nn.Module]:
    """The configuration and the best model of a run, in eval mode on the CPU.

    Raises:
        ConfigError: ``run_dir`` is no run of family ``mnist``.
        CheckpointError: best.pt is missing, damaged or of another model.
    """
    run = RunDirectory(run_dir)
    family, values = run.read_config()
    if family != "mnist":
        raise ConfigError(f"{run_dir}: expected a run of family 'mnist', got {family!r}")
    try:
        config = MnistConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{run.config}: {explain(error)}") from error
    model = build_model(config)
    try:
        model.load_state_dict(load_checkpoint(run.best)["model"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{run.best} does not fit its config.json: {error}") from error
    return config, model.eval()
