"""Two gloo processes give the losses of one process with all streams."""

import shlex
import socket
import sys
from pathlib import Path

import pytest

from tests.unit.training.test_distributed import start
from training.checkpoint import load_checkpoint
from training.cli import train
from training.loggers import read_records

FLAGS = shlex.split("""
    --model.width 8 --model.embedding 4 --data.batch-size 6 --data.sequence-length 50
    --data.validation-streams 3 --regularisation.dropout 0 --precision.compute float32
    --run.epochs 1 --run.log-every 1 --run.device cpu --no-run.progress --run.name run
""")
"""Six steps. Dropout off: its mask is drawn by each process for its own rows."""


@pytest.mark.skipif(sys.platform != "linux", reason="names Linux's loopback interface")
def test_two_processes_give_the_loss_and_the_state_of_all_streams(
    text_file: Path, tmp_path: Path
) -> None:
    def flags(folder: str) -> list[str]:
        return ["text", "--corpus", str(text_file), "--run.dir", str(tmp_path / folder), *FLAGS]

    assert train(flags("alone")) == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    processes = [start(flags("pair"), rank, 2, port) for rank in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs

    alone, pair = (tmp_path / folder / "text" / "run" for folder in ("alone", "pair"))
    records = list(
        zip(*(read_records(run / "metrics.jsonl") for run in (alone, pair)), strict=True)
    )
    assert len(records) == 7  # six steps and the validation
    for one, two in records:
        # sums of float32 gradients in another order
        assert two.metrics == pytest.approx(one.metrics, rel=1e-4)
    states = [load_checkpoint(run / "last.pt")["modules"]["carried"] for run in (alone, pair)]
    for name in ("hidden", "cell"):
        assert states[0][name].any(dim=(1, 2)).all()
        assert states[1][name].numpy() == pytest.approx(states[0][name].numpy(), abs=1e-4)
