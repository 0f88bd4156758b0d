"""Opening a run of family dcgan."""

import json
from pathlib import Path
from typing import Literal

import pytest
import torch

from tests.dcgan_runs import LATENT, write_run
from training.checkpoint import CheckpointError
from training.dcgan.trained_networks import load_trained
from training.rundir import RunDirectory

SAID = {
    "none": None,
    "class": torch.arange(300) % 10,
    "prompt": torch.arange(300)[:, None] % 7 * torch.tensor([1, 1, 0]),
}


@pytest.mark.parametrize("condition", ["none", "class", "prompt"])
def test_a_picture_does_not_depend_on_its_batch(
    tmp_path: Path, condition: Literal["none", "class", "prompt"]
) -> None:
    trained = load_trained(write_run(tmp_path / "run", condition))
    z, said = torch.randn(300, LATENT), SAID[condition]  # more than a batch
    together = trained.pictures(z, said)
    assert together.dtype == torch.uint8
    assert together.shape == (300, 1, 28, 28)
    alone = trained.pictures(z[299:], None if said is None else said[299:])
    # Roundoff of another order of sums may cross a rounding border.
    assert (together[299].int() - alone[0].int()).abs().max() <= 1


def test_networks_are_ready_to_be_used_and_not_to_be_trained(tmp_path: Path) -> None:
    trained = load_trained(write_run(tmp_path / "run"))
    for network in (trained.generator, trained.discriminator):
        assert not network.training
        assert not any(weight.requires_grad for weight in network.parameters())


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    run = RunDirectory(write_run(tmp_path / "run"))
    values = json.loads(run.config.read_text())
    values["model"]["generator_width"] = 8
    run.config.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"does not fit its config\.json"):
        load_trained(run.path)
