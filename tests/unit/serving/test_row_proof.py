"""Rows that must not depend on their company."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from serving.row_proof import differing_batch, rows_alone
from serving.types import Array

ROWS = 32


class Company:
    """Doubles its rows; those of batches in ``spoilt`` are one bit off in the last row."""

    def __init__(self, *spoilt: int) -> None:
        self.sizes: list[int] = []
        self._spoilt = spoilt

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        assert outputs == ["y"]
        assert inputs["x"].flags.c_contiguous
        self.sizes.append(len(inputs["x"]))
        result = inputs["x"] * 2
        if len(result) in self._spoilt:
            result[-1, -1] = np.nextafter(result[-1, -1], np.float32(9))
        return [result]


def inputs() -> dict[str, Array]:
    return {"x": np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)}


def test_each_row_is_run_by_itself() -> None:
    engine = Company()
    assert np.array_equal(rows_alone(engine, inputs(), "y"), inputs()["x"] * 2)
    assert engine.sizes == [1] * ROWS


@pytest.mark.parametrize(
    ("most", "tried"),
    [(1, []), (2, [2]), (5, [2, 3, 4, 5]), (8, [*range(2, 9)]), (32, [*range(2, 9), 32])],
)
def test_small_batches_and_the_largest_are_tried(most: int, tried: list[int]) -> None:
    engine = Company()
    assert differing_batch(engine, inputs(), "y", max_batch_size=most) is None
    assert engine.sizes[ROWS:] == tried


@pytest.mark.parametrize(("spoilt", "found"), [((5,), 5), ((32,), 32), ((7, 3), 3)])
def test_the_smallest_batch_that_differs_by_a_bit_is_found(
    spoilt: tuple[int, ...], found: int
) -> None:
    assert differing_batch(Company(*spoilt), inputs(), "y", max_batch_size=ROWS) == found
