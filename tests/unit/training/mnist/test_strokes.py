"""Drawn digits: their form, their repeatability."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.mnist.strokes import SIDE, digit, golden_images, main, photo


@pytest.mark.parametrize("value", range(10))
def test_digit_has_the_form_of_mnist(value: int) -> None:
    picture = digit(value, np.random.default_rng(value)).astype(np.float64)
    rows, columns = (np.flatnonzero(picture.any(axis=axis)) for axis in (1, 0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert picture.shape == (SIDE, SIDE)
    assert max(height, width) == 20
    index = np.arange(SIDE)
    centre = [(picture.sum(axis=axis) * index).sum() / picture.sum() for axis in (1, 0)]
    np.testing.assert_allclose(centre, 13.5, atol=0.51)


def test_digit_differs_from_call_to_call_and_repeats_with_the_seed() -> None:
    generator = np.random.default_rng(1)
    first, second = digit(3, generator), digit(3, generator)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, digit(3, np.random.default_rng(1)))


def test_digit_refuses_what_is_no_digit() -> None:
    with pytest.raises(ValueError, match="0 to 9, got 10"):
        digit(10, np.random.default_rng(0))


def test_golden_images_fill_one_batch_with_digits_noise_black_and_white() -> None:
    images = golden_images()
    assert images.shape == (64, SIDE, SIDE)
    assert images.dtype == np.uint8
    levels = [(int(image.min()), int(image.max())) for image in images]
    assert (0, 0) in levels
    assert (255, 255) in levels
    assert len({image.tobytes() for image in images}) == 64


def test_photo_is_dark_ink_on_unevenly_lit_paper() -> None:
    pixels = np.asarray(photo(7, np.random.default_rng(1)).convert("L"), np.float64)
    assert pixels.shape == (240, 200)
    assert pixels[:20, :20].mean() - pixels[-20:, -20:].mean() > 30
    assert np.median(pixels) - pixels.min() > 100


def test_main_writes_the_same_picture_for_the_same_seed(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "seven.png", tmp_path / "seven.png"
    assert main([str(first), "--digit", "7"]) == 0
    assert main([str(second), "--digit", "7"]) == 0
    with Image.open(first) as left, Image.open(second) as right:
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
