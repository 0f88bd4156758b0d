"""Weight and slant of drawn digits."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from training.dcgan.digit_form import in_thirds, slant, thirds, weight
from training.mnist import strokes

SCALE = 10


def bar(slope: float, width: float) -> Tensor:
    """A stroke uint8 [1, 28, 28] of 20 rows that goes ``slope`` columns right for each one up."""
    image = Image.new("L", (28 * SCALE, 28 * SCALE), 0)
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    points = [
        (SCALE * (14 + x * width / 2 - y * 10 * slope), SCALE * (14 + y * 10)) for x, y in corners
    ]
    ImageDraw.Draw(image).polygon(points, fill=255)
    return torch.from_numpy(np.array(image.resize((28, 28), Image.Resampling.BOX)))[None]


def digits(seed: int = 0) -> Tensor:
    generator = np.random.default_rng(seed)
    drawn = [strokes.digit(value, generator) for value in range(10)]
    return torch.from_numpy(np.stack(drawn))


@pytest.mark.parametrize("slope", [-0.5, -0.2, 0.0, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("width", [2.0, 4.0])
def test_slant_of_a_bar_is_its_slope(slope: float, width: float) -> None:
    # A polygon of Pillow has whole corners, a tenth of a pixel: that much over 20 rows.
    assert slant(bar(slope, width)).item() == pytest.approx(slope, abs=0.01)


@pytest.mark.parametrize("width", [2.0, 3.0, 4.0, 5.0])
def test_weight_of_a_bar_is_its_width_but_for_its_ends(width: float) -> None:
    # Twice the area over the border is w l / (l + w), l = 20; corners are blunt at 28 pixels.
    assert weight(bar(0.0, width)).item() == pytest.approx(width * 20 / (20 + width), rel=0.15)


def test_weight_grows_with_the_width_of_a_bar() -> None:
    widths = torch.cat([weight(bar(0.2, width)) for width in (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)])
    assert torch.all(widths.diff() > 0)


def test_weight_grows_when_digits_are_thickened() -> None:
    drawn = digits()
    thicker = functional.max_pool2d(drawn[:, None].float(), 3, 1, 1)[:, 0].to(torch.uint8)
    assert torch.all(weight(thicker) > weight(drawn) + 0.5)


def test_slant_changes_its_sign_in_a_mirror_and_weight_stays() -> None:
    drawn = digits()
    torch.testing.assert_close(slant(drawn.flip(2)), -slant(drawn), rtol=0, atol=1e-5)
    torch.testing.assert_close(weight(drawn.flip(2)), weight(drawn), rtol=0.1, atol=0)


def test_form_does_not_depend_on_the_place_of_the_ink() -> None:
    drawn = digits()
    moved = drawn.roll((2, -3), (1, 2))
    torch.testing.assert_close(slant(moved), slant(drawn), rtol=0, atol=1e-4)
    torch.testing.assert_close(weight(moved), weight(drawn))


def test_a_sheared_digit_is_slanted_by_the_shear() -> None:
    drawn = digits().float()[:, None]
    grid = functional.affine_grid(
        torch.tensor([[1.0, 0.3, 0.0], [0.0, 1.0, 0.0]]).expand(10, 2, 3),
        [10, 1, 28, 28],
        align_corners=False,
    )
    sheared = functional.grid_sample(drawn, grid, align_corners=False)[:, 0].round().byte()
    change = slant(sheared) - slant(drawn[:, 0].byte())
    # Interpolation blurs the ink by up to a pixel.
    torch.testing.assert_close(change, torch.full((10,), 0.3), rtol=0, atol=0.05)


@pytest.mark.parametrize("measure", [slant, weight])
def test_a_picture_without_ink_measures_zero(measure: object) -> None:
    assert callable(measure)
    assert measure(torch.zeros(2, 28, 28, dtype=torch.uint8)).tolist() == [0.0, 0.0]


def test_thirds_cut_values_into_equal_parts() -> None:
    values = torch.randperm(300, generator=torch.Generator().manual_seed(1)).float()
    places = in_thirds(values, thirds(values))
    assert torch.bincount(places).tolist() == [100, 100, 100]
    assert values[places == 0].max() < values[places == 1].min()
    assert values[places == 1].max() < values[places == 2].min()
