"""Rows that must be the same bits in any batch."""

import numpy as np
import pytest
import torch
from torch import nn

from training.export.errors import ExportError
from training.export.parity import COMPANIES, check_batch_invariance
from training.export.predict import Arrays
from training.export.rowwise import RowLinear

ROWS = {"x": np.arange(15, dtype=np.float32).reshape(5, 3)}


def test_batch_invariance_accepts_a_graph_that_computes_rows_by_themselves() -> None:
    sizes: set[int] = set()

    def predict(inputs: Arrays) -> Arrays:
        sizes.add(len(inputs["x"]))
        return {"y": np.asarray(inputs["x"], np.float32) * 3}

    check_batch_invariance(predict, ROWS)
    assert sizes == {1, *COMPANIES}


@pytest.mark.parametrize("size", [2, 33, 64])
def test_batch_invariance_refuses_the_last_bit(size: int) -> None:
    def predict(inputs: Arrays) -> Arrays:
        y = np.asarray(inputs["x"], np.float32) + 1
        if len(y) == size:
            y[-1, -1] = np.nextafter(y[-1, -1], np.float32(99))
        return {"y": y}

    with pytest.raises(ExportError, match=f"row {size - 1} of a batch of {size} has another 'y'"):
        check_batch_invariance(predict, ROWS)


@pytest.mark.parametrize("bias", [True, False])
def test_row_linear_equals_the_layer_it_stands_for(bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(7, 4, bias=bias)
    x = torch.randn(5, 7)
    # The same products, summed in another order.
    torch.testing.assert_close(
        RowLinear(layer.weight, layer.bias)(x), layer(x), rtol=1e-6, atol=1e-6
    )
