"""Takes out of a virtual environment what serving never opens.

Python sources stay, so that tracebacks can be read, and so does every distribution's metadata, so
that scanners see what is installed.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from deploy.docker.steps import elf

UNUSED = (
    # Tests of the packages themselves.
    "**/tests",
    "numpy/_core/_*_tests.*.so",
    "numpy/_core/_simd.*.so",
    # Headers, stubs and sources of extensions: for compilers and type checkers.
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.pxi",
    "**/*.h",
    "**/*.hpp",
    "**/*.a",
    "**/include",
    # Tools beside the engine: they convert and quantize models, and want packages not installed.
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    # A second copy of the engine for programs in C; the Python extension has its own inside.
    "onnxruntime/capi/libonnxruntime.so.*",
    # A provider whose libraries no package here brings.
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
    # Compilers of extensions.
    "numpy/distutils",
    "numpy/f2py",
    "numpy/_pyinstaller",
    # Windows and desktops.
    "PIL/ImageTk.py",
    "PIL/_imagingtk.*.so",
    "PIL/_tkinter_finder.py",
)
"""Patterns below ``site-packages``."""

CUDA_LIBRARIES = (
    # DT_NEEDED of libonnxruntime_providers_cuda.so.
    "libcublasLt",
    "libcublas",
    "libcudart",
    "libcurand",
    # Opened at the first convolution, pooling or recurrent layer; cuDNN opens its own parts.
    "libcudnn",
    "libcudnn_[a-z_]+",
    # Opened by cuBLASLt and by cuDNN, which compile kernels for the GPU that they find.
    "libnvrtc",
    "libnvrtc-builtins",
    "libnvJitLink",
)
"""What ONNX Runtime's CUDA provider loads, by name without ``.so``."""

CUFFT = "libcufft"
"""Opened by the first operator that transforms (DFT, STFT, Rfft, Irfft), which few models have."""

DRIVER = "libcuda.so.1"
"""Comes from the host."""


def slim(site_packages: Path, *, cuda_fft: bool) -> int:
    """Remove what is unused and trim what is left.

    Args:
        site_packages: the environment's packages.
        cuda_fft: keep cuFFT, if it is there.

    Returns: bytes saved.

    Raises:
        ValueError: a CUDA library that is left needs one that is gone.
    """
    before = _size(site_packages)
    for pattern in UNUSED:
        _remove(site_packages.glob(pattern))
    keep_cuda_libraries(site_packages / "nvidia", cuda_fft=cuda_fft)
    for file in shared_objects(site_packages):
        elf.trim(file)
    return before - _size(site_packages)


def shared_objects(folder: Path) -> list[Path]:
    """Every shared library and extension module below ``folder``."""
    files = (f for f in sorted(folder.rglob("*.so*")) if f.is_file() and not f.is_symlink())
    return [file for file in files if elf.is_elf(file)]


def keep_cuda_libraries(nvidia: Path, *, cuda_fft: bool) -> None:
    """Remove every file of NVIDIA's packages that is no library that the provider loads.

    Raises:
        ValueError: a library that is left needs one that is gone.
    """
    if not nvidia.is_dir():
        return
    names = (*CUDA_LIBRARIES, *((CUFFT,) if cuda_fft else ()))
    wanted = re.compile(rf"({'|'.join(names)})\.so(\.[0-9]+)*")
    _remove(f for f in nvidia.rglob("*.*") if f.is_file() and not wanted.fullmatch(f.name))
    left = shared_objects(nvidia)
    there = {file.name for file in left} | {DRIVER}
    for file in [*left, *nvidia.parent.glob("onnxruntime/capi/libonnxruntime_providers_cuda.so")]:
        gone = [n for n in elf.needed(file) if n.startswith(("libcu", "libnv")) and n not in there]
        if gone:
            raise ValueError(f"{file.name} needs {', '.join(gone)}; kept are {sorted(there)}")


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            # A folder that held it may have gone before.
            path.unlink(missing_ok=True)


def _size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink())


def main(argv: list[str]) -> int:
    """Slim one folder and say how much that saved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site_packages", type=Path)
    parser.add_argument("--cuda-fft", choices=("true", "false"), default="false")
    arguments = parser.parse_args(argv)
    saved = slim(arguments.site_packages, cuda_fft=arguments.cuda_fft == "true")
    sys.stdout.write(f"{arguments.site_packages}: {saved / 1e6:.1f} MB saved\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
