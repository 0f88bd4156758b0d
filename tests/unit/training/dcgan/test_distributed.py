"""Two gloo processes train one generator: they share the real pictures, each draws its noise."""

import math
import shlex
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.training.test_distributed import start
from training.checkpoint import load_checkpoint
from training.cli import train
from training.dcgan.trained_networks import load_trained
from training.loggers import Record, read_records

FLAGS = shlex.split("""
    --dataset photos --model.side 16 --model.channels 1 --model.latent 5
    --model.generator-width 4 --model.discriminator-width 4 --model.spectral-norm
    --adversarial.augment [] --data.batch-size 8 --precision.compute float32
    --no-precision.channels-last --run.epochs 1 --run.log-every 1 --run.threads 1
    --run.device cpu --no-run.progress --run.name run
""")
"""Spectral norm, for batch normalisation of a slice on the CPU is not that of the joint batch."""


def write_photos(folder: Path) -> None:
    random = np.random.default_rng(0)
    (folder / "photos").mkdir(parents=True)
    for row in range(40):
        pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{row}.png")


def records(run: Path) -> list[Record]:
    return list(read_records(run / "metrics.jsonl"))


@pytest.mark.skipif(sys.platform != "linux", reason="names Linux's loopback interface")
def test_two_processes_judge_the_joint_batch_and_keep_one_model(tmp_path: Path) -> None:
    write_photos(tmp_path)

    def flags(folder: str) -> list[str]:
        runs = ["--data-dir", str(tmp_path), "--run.dir", str(tmp_path / folder)]
        return ["dcgan", *runs, *FLAGS]

    assert train(flags("alone")) == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    processes = [start(flags("pair"), rank, 2, port) for rank in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs

    alone, pair = (tmp_path / folder / "dcgan" / "run" for folder in ("alone", "pair"))
    one, two = records(alone), records(pair)
    assert [r.split for r in one] == [r.split for r in two]
    # Before any update both see the same discriminator and, together, the same real pictures.
    real = [r[0].metrics["probability_real"] for r in (one, two)]
    assert real[1] == pytest.approx(real[0], rel=1e-5)
    assert all(math.isfinite(value) for record in two for value in record.metrics.values())
    kept = load_trained(pair).generator.state_dict()
    average = load_checkpoint(pair / "last.pt")["modules"]["average"]
    for name, value in kept.items():
        assert torch.equal(value, average[f"module.{name}"]), name
