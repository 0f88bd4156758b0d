"""Device, threads, determinism and arithmetic of a run."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from quartet.config import ConfigError
from training.config import PrecisionConfig, RunConfig
from training.distributed import ProcessGroup, process_group

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt(3)."""
_NEVER = 2**31 - 1
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how a run computes."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Device of weights and data."""
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    """Arithmetic."""
    group: ProcessGroup = field(default_factory=ProcessGroup)
    """Processes of the run."""

    def autocast(self) -> AbstractContextManager[None]:
        """Context of the forward pass: mixed precision, or nothing for float32."""
        dtype = _DTYPES[self.precision.compute]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32)

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling, which float16 needs and the others switch off."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision.compute == "float16")

    def place(self, module: nn.Module) -> nn.Module:
        """``module`` on the device, in the memory format and with the normalisation of the run."""
        if self.group.size > 1 and self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]  # untyped in PyTorch
        if self.precision.channels_last:
            return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # PyTorch's stubs omit this form
        return module.to(self.device)


@contextmanager
def start_runtime(run: RunConfig, precision: PrecisionConfig) -> Iterator[Runtime]:
    """Set up this process for ``run`` and join its group; threads and modes are process-wide.

    Raises:
        ConfigError: the device or the precision cannot be had here.
    """
    device = resolve_device(run.device)
    if precision.compute == "float16" and device.type != "cuda":
        raise ConfigError("precision.compute: float16 needs CUDA; bfloat16 runs on CPUs too")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(run.threads or max(1, available_cores() // processes))
    keep_freed_memory()
    torch.use_deterministic_algorithms(run.deterministic)
    # It guards against reading memory that nobody wrote, and costs a sixth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by a module property
    if device.type == "cuda":
        # Must be set before the first product; NVIDIA, cuBLAS manual, "Results Reproducibility".
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = not run.deterministic
        torch.cuda.set_device(device)
    with process_group("nccl" if device.type == "cuda" else "gloo") as group:
        yield Runtime(device, precision, group)


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next step in place of giving it back; process-wide.

    Large tensors of a step are otherwise mapped anew in the next one, and the kernel clears every
    page of them, which is a good part of the time of a convolutional network's step on a CPU.

    Returns:
        Whether this system's C library did so.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, _NEVER))


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread meanwhile.

    For work that is a long row of small products, where more threads spend their time waiting for
    each other; and its figures are the same on any number of cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def resolve_device(name: str) -> torch.device:
    """The device called ``name`` (auto, cpu, cuda), this process's own GPU under torchrun."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"run.device: cuda was asked for, but PyTorch {torch.__version__} finds no GPU"
        )
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def available_cores() -> int:
    """Cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells the affinity
        return os.cpu_count() or 1
