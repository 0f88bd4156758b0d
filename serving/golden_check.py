"""Replays a model's golden inputs at load: proof of the export on this device, and warm-up."""

from collections.abc import Iterator
from pathlib import Path
from types import EllipsisType

import numpy as np

from quartet.artifact import ArtifactError, Golden, load_golden
from quartet.config import ConfigError
from serving.dynamic_batcher import Engine
from serving.effective_config import EffectiveConfig
from serving.errors import InferenceFailed
from serving.types import Array


def check_golden_file(engine: Engine, config: EffectiveConfig, file: Path) -> str:
    """Replay ``file``, if there is one; what was proved, in words.

    Raises:
        ConfigError: the file is damaged, the engine failed on it, or as ``check_golden``.
    """
    if not file.is_file():
        return "no golden file"
    try:
        worst = check_golden(engine, config, load_golden(file))
    except (ArtifactError, InferenceFailed) as error:
        raise ConfigError(str(error)) from error
    return f"passed, largest difference {worst:.2g}"


def check_golden(engine: Engine, config: EffectiveConfig, golden: Golden) -> float:
    """Run the golden inputs alone and in batches of up to ``max_batch_size`` rows, and compare.

    Returns: the largest absolute difference seen, in the outputs' unit.

    Raises:
        ConfigError: an output differs by more than the file's tolerances, has another shape, or
            the file names tensors that the graph does not have.
        InferenceFailed: the engine failed on the inputs.
    """
    _check_names(config, golden)
    names = tuple(golden.outputs)
    worst = 0.0
    for part in _parts(golden, config.max_batch_size):
        inputs = {name: np.asarray(array[part], order="C") for name, array in golden.inputs.items()}
        results = engine.run(inputs, names)
        for name, got in zip(names, results, strict=True):
            worst = max(worst, _difference(name, got, golden.outputs[name][part], golden))
    return worst


def _check_names(config: EffectiveConfig, golden: Golden) -> None:
    for kind, specs, given in (
        ("input", config.inputs, golden.inputs),
        ("output", config.outputs, golden.outputs),
    ):
        known = {spec.name: spec for spec in specs}
        for name, array in given.items():
            fits = name in known and array.dtype == known[name].datatype.dtype
            if not fits or (config.batches and array.ndim == 0):
                raise ConfigError(
                    f"golden {kind} {name!r} of type {array.dtype} and shape "
                    f"{list(array.shape)} does not fit the model, "
                    f"which has {[(s.name, s.datatype.wire) for s in specs]}"
                )


def _parts(golden: Golden, max_batch_size: int) -> Iterator[slice | EllipsisType]:
    """The first row alone, then all rows in full batches; the whole where nothing batches."""
    if max_batch_size == 0:
        yield ...
        return
    rows = len(next(iter(golden.inputs.values())))
    yield slice(0, 1)
    for start in range(0, rows, max_batch_size):
        yield slice(start, start + max_batch_size)


def _difference(name: str, got: Array, expected: Array, golden: Golden) -> float:
    if got.shape != expected.shape:
        raise ConfigError(
            f"golden check failed: output {name!r} has shape {list(got.shape)}, "
            f"expected {list(expected.shape)}"
        )
    if got.size == 0:
        return 0.0
    if not np.issubdtype(expected.dtype, np.number):
        if not np.array_equal(got, expected):
            raise ConfigError(f"golden check failed: output {name!r} differs from the golden one")
        return 0.0
    difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    allowed = golden.atol + golden.rtol * np.abs(expected.astype(np.float64))
    if not np.all(difference <= allowed):  # also false for NaN
        raise ConfigError(
            f"golden check failed: output {name!r} differs by up to {np.max(difference):.3g} from "
            f"what {golden.source or 'the exporter'} computed; allowed are "
            f"{golden.atol:g} + {golden.rtol:g} x |expected|"
        )
    return float(np.max(difference))
