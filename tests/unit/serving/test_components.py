import numpy as np
import numpy.typing as npt
import pytest

from serving.components import label_components


def flood_filled(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """The same by the plainest means: a flood from each unlabelled pixel, in raster order."""
    labels = np.zeros(mask.shape, np.int32)
    for start in zip(*mask.nonzero(), strict=True):
        stack = [start] if labels[start] == 0 else []
        name = labels.max() + 1
        while stack:
            row, column = stack.pop()
            if not (0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]):
                continue
            if mask[row, column] and labels[row, column] == 0:
                labels[row, column] = name
                stack += [(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return labels


@pytest.mark.parametrize("seed", range(30))
def test_label_components_agrees_with_flood_fill(seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 16, 2)
    mask = random.random((height, width)) < random.random()
    labels, count = label_components(mask)
    assert np.array_equal(labels, flood_filled(mask))
    assert count == labels.max(initial=0)


def test_label_components_joins_the_turns_of_a_spiral() -> None:
    rows = ["#######", "......#", "#####.#", "#...#.#", "#.###.#", "#.....#", "#######"]
    mask = np.array([[cell == "#" for cell in row] for row in rows])
    assert label_components(mask)[1] == 1


def test_label_components_finds_nothing_when_the_mask_is_empty() -> None:
    labels, count = label_components(np.zeros((3, 4), np.bool_))
    assert count == 0
    assert not labels.any()
