"""Two gloo processes on the CPU give the loss of one process with the joint batch."""

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from training.checkpoint import load_checkpoint
from training.cli import train
from training.data.mnist import load_mnist
from training.distributed import ProcessGroup
from training.loggers import Record, read_records
from training.mnist.data import prepare
from training.mnist.task import load_trained

REPOSITORY_ROOT = Path(__file__).resolve().parents[3]
FLAGS = shlex.split("""
    --no-data.verify --model.arch lenet --model.channels 4,6 --model.hidden 16
    --data.batch-size 32 --regularisation.dropout 0 --regularisation.clip-norm 0.5
    --run.max-steps 6 --run.log-every 1 --run.threads 1 --run.device cpu
    --no-run.progress --run.name run
""")
"""Augmentation on. Dropout off: its mask is drawn by each process for its own rows."""


def flags(data: Path, runs: Path) -> list[str]:
    return ["mnist", "--data-dir", str(data), "--run.dir", str(runs), *FLAGS]


def start(command: list[str], rank: int, size: int, port: int) -> subprocess.Popen[str]:
    """One process of a run, with torchrun's environment."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    env = os.environ | {key: str(value) for key, value in place.items()}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [sys.executable, "-m", "training", *command],
        cwd=REPOSITORY_ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def train_pair(data: Path, runs: Path, *more: str) -> None:
    """A run of two processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    processes = [start([*flags(data, runs), *more], rank, 2, port) for rank in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs


def results(runs: Path) -> tuple[list[Record], dict[str, torch.Tensor]]:
    """Records and last weights of the run."""
    folder = runs / "mnist" / "run"
    weights = load_checkpoint(folder / "last.pt")["modules"]["model"]
    return list(read_records(folder / "metrics.jsonl")), weights


@pytest.mark.skipif(sys.platform != "linux", reason="names Linux's loopback interface")
def test_two_processes_give_the_loss_and_weights_of_the_joint_batch(
    mnist_dir: Path, tmp_path: Path
) -> None:
    assert train(flags(mnist_dir, tmp_path / "alone")) == 0
    alone, alone_weights = results(tmp_path / "alone")
    train_pair(mnist_dir, tmp_path / "pair")
    pair, pair_weights = results(tmp_path / "pair")
    assert len(pair) == 7  # six steps, and the validation that ends the epoch of four
    for one, two in zip(alone, pair, strict=True):
        assert two.metrics == pytest.approx(one.metrics, rel=1e-4)
    for key, value in alone_weights.items():
        assert torch.allclose(pair_weights[key], value, rtol=1e-4, atol=1e-6), key


@pytest.mark.skipif(sys.platform != "linux", reason="names Linux's loopback interface")
def test_two_processes_validate_the_model_that_is_kept(mnist_dir: Path, tmp_path: Path) -> None:
    train_pair(mnist_dir, tmp_path, "--model.batch-norm")
    records, _ = results(tmp_path)
    (validation,) = (record for record in records if record.split == "validation")
    _, model = load_trained(tmp_path / "mnist" / "run")
    held_out = load_mnist(mnist_dir, verify=False).validation
    with torch.inference_mode():
        loss = functional.cross_entropy(model(prepare(held_out.images)), held_out.labels)
    assert validation.metrics["loss"] == pytest.approx(float(loss), rel=1e-5)


def test_a_lone_process_is_its_own_sum_mean_and_leader() -> None:
    group = ProcessGroup()
    value = torch.tensor([1.0, 3.0])
    assert group.leads
    assert torch.equal(group.sum(value), value)
    assert torch.equal(group.mean(value), value)
    assert group.any(True, torch.device("cpu"))


def test_a_lone_process_keeps_its_gradients() -> None:
    layer = nn.Linear(2, 1)
    torch.autograd.backward(layer(torch.ones(1, 2)).sum())
    ProcessGroup().average_gradients(layer.parameters())
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[1.0, 1.0]]
