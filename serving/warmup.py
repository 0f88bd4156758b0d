"""First runs of a model, before it is ready: the first one of each shape is slow."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from quartet.config import ConfigError
from serving.dynamic_batcher import Engine
from serving.effective_config import EffectiveConfig
from serving.errors import InferenceFailed, InvalidInput
from serving.model_config import Warmup, WarmupInput
from serving.tensors import decode_bytes_tensor
from serving.types import Array, Datatype, TensorSpec

RANDOM_SEED = 0
"""Warm-up data are random where asked for, but the same at every start."""


def run_warmup(engine: Engine, config: EffectiveConfig, warmup: Warmup, folder: Path) -> None:
    """Run one ``model_warmup`` entry ``count`` times; its files lie in ``folder``/warmup.

    Raises:
        ConfigError: the entry does not fit the model, a file is missing or the engine refused.
    """
    known = {spec.name: spec for spec in config.inputs}
    inputs = {}
    for tensor in warmup.inputs:
        if tensor.name not in known:
            raise ConfigError(
                f"model_warmup {warmup.name!r}: input {tensor.name!r} is not in the model, "
                f"which has {sorted(known)}"
            )
        inputs[tensor.name] = _warmup_input(tensor, warmup, folder)
    try:
        for _ in range(warmup.count):
            engine.run(inputs, [spec.name for spec in config.outputs])
    except InferenceFailed as error:
        raise ConfigError(f"model_warmup {warmup.name!r} failed: {error}") from error


def zero_inputs(config: EffectiveConfig) -> Mapping[str, Array]:
    """One row of zeros (of empty strings), free axes of length 1."""
    return {spec.name: _zeros(spec) for spec in config.inputs}


def _zeros(spec: TensorSpec) -> Array:
    shape = tuple(1 if size < 0 else size for size in spec.shape)
    if spec.datatype is Datatype.BYTES:
        return np.full(shape, "", np.object_)
    return np.zeros(shape, spec.datatype.dtype)


def _warmup_input(tensor: WarmupInput, warmup: Warmup, folder: Path) -> Array:
    shape = tensor.dims if warmup.batch_size == 0 else (warmup.batch_size, *tensor.dims)
    dtype = tensor.datatype.dtype
    if tensor.kind == "file":
        return _read_values(folder / "warmup" / tensor.file, tensor, shape)
    if tensor.datatype is Datatype.BYTES:
        return np.full(shape, "", np.object_)
    if tensor.kind == "zero":
        return np.zeros(shape, dtype)
    generator = np.random.default_rng(RANDOM_SEED)
    if np.issubdtype(dtype, np.floating):
        return generator.random(shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)


def _read_values(file: Path, tensor: WarmupInput, shape: tuple[int, ...]) -> Array:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"model_warmup input {tensor.name!r}: {error}") from error
    count = int(np.prod(shape, dtype=np.int64))
    if tensor.datatype is Datatype.BYTES:
        text = np.empty(count, np.object_)
        text[:] = _texts(raw, count, tensor)
        return text.reshape(shape)
    if len(raw) != count * tensor.datatype.itemsize:
        raise ConfigError(
            f"model_warmup input {tensor.name!r}: {file.name} has {len(raw)} bytes, "
            f"shape {list(shape)} of {tensor.datatype.wire} needs "
            f"{count * tensor.datatype.itemsize}"
        )
    return np.frombuffer(raw, tensor.datatype.dtype).reshape(shape)


def _texts(raw: bytes, count: int, tensor: WarmupInput) -> list[str]:
    try:
        return [element.decode() for element in decode_bytes_tensor(raw, count, tensor.name)]
    except (InvalidInput, UnicodeDecodeError) as error:
        raise ConfigError(f"model_warmup input {tensor.name!r}: {tensor.file}: {error}") from error
