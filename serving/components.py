"""Connected parts of a binary picture, by runs of rows, in NumPy alone.

Runs instead of pixels: a picture of a digit has a few hundred runs, whatever its size, and the
equivalences between them are resolved by pointer jumping (Shiloach and Vishkin, "An O(log n)
Parallel Connectivity Algorithm", J. Algorithms 3, 1982), which NumPy does for all runs at once.

Axes: H rows, W columns, R runs, E pairs of touching runs.
"""

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]


def label_components(mask_HW: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int32], int]:
    """Number the 8-connected parts of ``mask_HW``.

    Returns:
        int32 [H, W], 0 where the mask is false and 1..n inside the parts, in raster order of their
        first pixels; and n.
    """
    row_R, start_R, stop_R = _runs(mask_HW)
    if not row_R.size:
        return np.zeros(mask_HW.shape, np.int32), 0
    root_R = _roots(row_R.size, *_touching(row_R, start_R, stop_R))
    names, label_R = np.unique(root_R, return_inverse=True)
    labels = np.zeros(mask_HW.shape, np.int32)
    labels[mask_HW] = np.repeat(label_R + 1, stop_R - start_R)
    return labels, names.size


def _runs(mask_HW: npt.NDArray[np.bool_]) -> tuple[Index, Index, Index]:
    """Row, first column and column after the last, of each run in raster order."""
    edges = np.diff(mask_HW.astype(np.int8), axis=1, prepend=0, append=0)
    row_R, start_R = np.nonzero(edges == 1)
    return row_R, start_R, np.nonzero(edges == -1)[1]


def _touching(row_R: Index, start_R: Index, stop_R: Index) -> tuple[Index, Index]:
    """Pairs of runs in adjacent rows that share a side or a corner: earlier, later."""
    width = int(stop_R.max()) + 2
    # One sorted line for all rows: run r of row y lies at y * width + column.
    first_R = np.searchsorted(row_R * width + stop_R, (row_R - 1) * width + start_R)
    last_R = np.searchsorted(row_R * width + start_R, (row_R - 1) * width + stop_R, side="right")
    count_R = np.maximum(last_R - first_R, 0)
    later_E = np.repeat(np.arange(row_R.size), count_R)
    offset_E = np.arange(later_E.size) - np.repeat(np.cumsum(count_R) - count_R, count_R)
    return first_R[later_E] + offset_E, later_E


def _roots(count: int, earlier_E: Index, later_E: Index) -> Index:
    """The smallest run number in the part of each of ``count`` runs."""
    parent_R = np.arange(count)
    while True:
        low_E = np.minimum(parent_R[earlier_E], parent_R[later_E])
        high_E = np.maximum(parent_R[earlier_E], parent_R[later_E])
        if np.array_equal(low_E, high_E):
            return parent_R
        np.minimum.at(parent_R, high_E, low_E)
        while not np.array_equal(parent_R, parent_R[parent_R]):
            parent_R = parent_R[parent_R]
