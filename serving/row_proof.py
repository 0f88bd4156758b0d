"""Proof at load that a row's result does not depend on the batch that it travels in."""

from collections.abc import Mapping

import numpy as np

from serving.dynamic_batcher import Engine
from serving.types import Array

EVERY_SIZE_TO = 8
"""Batches of up to so many rows are tried one and all, since kernels treat the rows left over from
their tiles in other ways; beyond it, only the largest."""


def rows_alone(engine: Engine, inputs: Mapping[str, Array], output: str) -> Array:
    """The output of each row, run by itself. Raises InferenceFailed."""
    rows = len(next(iter(inputs.values())))
    return np.concatenate([_run(engine, inputs, output, slice(i, i + 1)) for i in range(rows)])


def differing_batch(
    engine: Engine, inputs: Mapping[str, Array], output: str, *, max_batch_size: int
) -> int | None:
    """The smallest batch in which some row is not what it is alone, bit for bit; None for none.

    Args:
        engine: runs the graph.
        inputs: input name -> array of at least ``max_batch_size`` rows.
        output: name of the output that is compared.
        max_batch_size: rows of the largest batch that will be run.

    Raises:
        InferenceFailed: the engine failed.
    """
    alone = rows_alone(engine, inputs, output)
    sizes: set[int] = {*range(2, min(max_batch_size, EVERY_SIZE_TO) + 1), max_batch_size} - {1}
    for size in sorted(sizes):
        together = _run(engine, inputs, output, slice(0, size))
        if bytes(together) != bytes(alone[:size]):
            return size
    return None


def _run(engine: Engine, inputs: Mapping[str, Array], output: str, rows: slice) -> Array:
    part = {name: np.ascontiguousarray(array[rows]) for name, array in inputs.items()}
    return engine.run(part, [output])[0]
