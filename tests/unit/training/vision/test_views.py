"""Views of stored pictures."""

import torch

from training.vision.config import CropConfig
from training.vision.views import (
    PIXEL_MEAN,
    PIXEL_STD,
    draw_crops,
    draw_jitter,
    plain_views,
    random_views,
)

WHOLE = CropConfig(smallest=1.0, ratio=1.0, flip=False, jitter=0.0)


def pictures(rows: int = 4, side: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (rows, 3, side, side), generator=generator, dtype=torch.uint8)


def test_a_plain_view_of_the_stored_size_is_the_standardised_picture() -> None:
    images = pictures()
    mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
    std = torch.tensor(PIXEL_STD).view(3, 1, 1)
    torch.testing.assert_close(plain_views(images, 16), (images / 255 - mean) / std)


def test_a_random_view_without_freedom_is_the_plain_view() -> None:
    images, generator = pictures(), torch.Generator().manual_seed(1)
    maps, jitter = draw_crops(WHOLE, 4, generator), draw_jitter(WHOLE, 4, generator)
    # grid_sample lands within a rounding error of the pixel's centre.
    torch.testing.assert_close(
        random_views(images, maps, jitter, 16), plain_views(images, 16), atol=1e-4, rtol=0
    )


def test_half_of_the_views_are_mirrored() -> None:
    config = CropConfig(smallest=1.0, ratio=1.0, flip=True, jitter=0.0)
    maps = draw_crops(config, 400, torch.Generator().manual_seed(2))
    mirrored = maps[:, 0, 0] < 0
    assert 160 < int(mirrored.sum()) < 240
    images = pictures(1).expand(2, -1, -1, -1)
    two = maps[[int(mirrored.nonzero()[0]), int((~mirrored).nonzero()[0])]]
    views = random_views(images, two, torch.ones(2, 3), 16)
    torch.testing.assert_close(views[0], views[1].flip(2), atol=1e-4, rtol=0)


def test_crops_stay_inside_the_picture_and_above_the_least_area() -> None:
    config = CropConfig(smallest=0.25, ratio=2.0)
    maps = draw_crops(config, 2000, torch.Generator().manual_seed(3))
    width, height = maps[:, 0, 0].abs(), maps[:, 1, 1]
    assert bool((maps[:, 0, 2].abs() + width <= 1 + 1e-6).all())
    assert bool((maps[:, 1, 2].abs() + height <= 1 + 1e-6).all())
    area = width * height
    # A side that would leave the picture is cut: areas near 1 of an odd ratio come out smaller.
    assert float(area.min()) >= 0.25 - 1e-6
    assert float(area.max()) > 0.9


def test_jitter_changes_brightness_but_leaves_pixels_in_range() -> None:
    images = pictures()
    brighter = torch.tensor([[1.3, 1.0, 1.0]] * 4)
    maps = draw_crops(WHOLE, 4, torch.Generator())
    before = random_views(images, maps, torch.ones(4, 3), 16)
    after = random_views(images, maps, brighter, 16)
    std = torch.tensor(PIXEL_STD).view(3, 1, 1)
    mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
    expected = ((before * std + mean) * 1.3).clamp(0, 1)
    torch.testing.assert_close(after * std + mean, expected, atol=1e-5, rtol=0)


def test_saturation_zero_is_grey() -> None:
    views = random_views(
        pictures(), draw_crops(WHOLE, 4, torch.Generator()), torch.tensor([[1.0, 1.0, 0.0]] * 4), 16
    )
    colour = views * torch.tensor(PIXEL_STD).view(3, 1, 1) + torch.tensor(PIXEL_MEAN).view(3, 1, 1)
    torch.testing.assert_close(colour[:, 0], colour[:, 2], atol=1e-5, rtol=0)
