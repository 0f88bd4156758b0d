"""Integer weights."""

import numpy as np

from training.graphs.products import WEIGHT_LIMIT, quantize_columns


def test_weights_have_seven_bits_and_a_scale_for_each_column() -> None:
    matrix = np.random.default_rng(0).normal(0, [0.01, 1.0, 50.0], (64, 3)).astype(np.float32)
    integers, scales = quantize_columns(matrix)
    assert integers.dtype == np.int8
    assert np.abs(integers).max(axis=0).tolist() == [WEIGHT_LIMIT] * 3
    # Pairs of products with 8-bit activations must fit into 16 bits.
    assert 2 * 255 * WEIGHT_LIMIT < 2**15
    assert (np.abs(integers * scales - matrix) <= scales * 0.5001).all()


def test_a_column_of_zeros_stays_zero() -> None:
    integers, scales = quantize_columns(np.zeros((4, 2), np.float32))
    assert not integers.any()
    assert np.isfinite(scales).all()
