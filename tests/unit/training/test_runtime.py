"""Device, threads and arithmetic."""

import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from quartet.config import ConfigError
from training.config import PrecisionConfig, RunConfig
from training.runtime import (
    Runtime,
    available_cores,
    one_thread,
    resolve_device,
    start_runtime,
)

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")


@NO_GPU
def test_resolve_device_refuses_cuda_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match=r"run\.device: cuda was asked for.*finds no GPU"):
        resolve_device("cuda")


@NO_GPU
def test_resolve_device_auto_falls_to_the_cpu() -> None:
    assert resolve_device("auto") == torch.device("cpu")


def test_start_runtime_refuses_float16_on_the_cpu() -> None:
    run, precision = RunConfig(device="cpu"), PrecisionConfig(compute="float16")
    with (
        pytest.raises(ConfigError, match=r"precision\.compute: float16 needs CUDA"),
        start_runtime(run, precision),
    ):
        pass


def test_start_runtime_sets_threads_and_determinism() -> None:
    with start_runtime(RunConfig(device="cpu", threads=1), PrecisionConfig()) as runtime:
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert (runtime.group.rank, runtime.group.size) == (0, 1)


def test_start_runtime_takes_every_core_by_default() -> None:
    with start_runtime(RunConfig(device="cpu"), PrecisionConfig()):
        assert torch.get_num_threads() == available_cores()


def test_autocast_computes_in_bfloat16_and_float32_leaves_it_off() -> None:
    layer, x = nn.Linear(2, 2), torch.ones(1, 2)
    with Runtime(precision=PrecisionConfig(compute="bfloat16")).autocast():
        assert layer(x).dtype == torch.bfloat16
    with Runtime().autocast():
        assert layer(x).dtype == torch.float32


def test_place_puts_kernels_in_channels_last() -> None:
    runtime = Runtime(precision=PrecisionConfig(channels_last=True))
    placed = runtime.place(nn.Conv2d(3, 4, 3))
    weight = next(placed.parameters())
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_one_thread_gives_the_threads_back_when_the_work_fails() -> None:
    used = []

    @one_thread()
    def work() -> None:
        used.append(torch.get_num_threads())
        raise ValueError("of the work")

    torch.set_num_threads(2)  # restored for other tests by a fixture
    with pytest.raises(ValueError, match="of the work"):
        work()
    assert used == [1]
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's allocator")
def test_freed_memory_is_not_mapped_anew() -> None:
    """In a process of its own, because the setting is the process's."""
    program = """
import resource
import torch
from training.runtime import keep_freed_memory

assert keep_freed_memory()
for _ in range(6):
    torch.empty(16_000_000).fill_(1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    torch.empty(16_000_000).fill_(1.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    pages = 4 * 16_000_000 * 4 // 4096
    assert int(done.stdout) < pages // 100
