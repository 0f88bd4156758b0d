"""Which ONNX Runtime execution provider runs, decided once and never silently changed."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnxruntime

from quartet.config import ConfigError

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"


@dataclass(frozen=True, slots=True)
class Device:
    """The provider that sessions are created with, and why it was chosen."""

    kind: Literal["cpu", "cuda"]
    reason: str

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the provider."""
        return CUDA_PROVIDER if self.kind == "cuda" else CPU_PROVIDER

    def provider_list(self) -> list[tuple[str, dict[str, Any]]]:
        """Providers with options, in the form that ``InferenceSession`` takes."""
        if self.kind == "cpu":
            return [(CPU_PROVIDER, {})]
        # HEURISTIC spares the exhaustive search that makes the first run of each shape slow;
        # kSameAsRequested keeps the arena from doubling past what the largest batch needs;
        # TF32 would change float32 results by a thousandth.
        cuda = {
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
            "use_tf32": "0",
        }
        return [(CUDA_PROVIDER, cuda), (CPU_PROVIDER, {})]


def missing_for_cuda() -> str | None:
    """What keeps CUDA from working here, in words, or None if its provider library loads."""
    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return (
            "this onnxruntime build has no CUDAExecutionProvider; "
            "install the extra 'gpu' (onnxruntime-gpu) in place of onnxruntime"
        )
    onnxruntime.preload_dlls()  # CUDA and cuDNN from pip packages, where there are such
    folder = Path(onnxruntime.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libonnxruntime_providers_cuda.so"))
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return f"a library that CUDA needs cannot be loaded: {error}"
    count = ctypes.c_int(0)
    if (
        driver.cuInit(0) != 0
        or driver.cuDeviceGetCount(ctypes.byref(count)) != 0
        or not count.value
    ):
        return "libcuda.so.1 loads but finds no usable NVIDIA GPU"
    return None


def choose_device(
    wanted: Literal["auto", "cpu", "cuda"],
    probe: Callable[[], str | None] = missing_for_cuda,
) -> Device:
    """Turn ``--device`` into the device that will run.

    Raises:
        ConfigError: ``cuda`` was demanded and cannot be had; the text names what is missing.
    """
    if wanted == "cpu":
        return Device("cpu", "asked for")
    missing = probe()
    if missing is None:
        return Device("cuda", "asked for" if wanted == "cuda" else "CUDA works here")
    if wanted == "cuda":
        raise ConfigError(f"--device cuda: {missing}")
    return Device("cpu", missing)
