"""The attention of a caption, drawn over the photo as it was sent."""

import io
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image

from quartet.artifact import ImageSpec
from serving.attention_picture import PANEL_SIDE
from serving.caption_drawing import draw_caption
from serving.errors import InvalidInput, NotSupported, PayloadTooLarge
from serving.images import ImageLimits
from serving.loaded_model import LoadedModel
from tests.fake_captions import caption_of

CAPTION = caption_of(0, 0, attention=True)
LIMITS = ImageLimits()


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def model_of(side: int) -> LoadedModel:
    """As much of a model as is looked at."""
    task = SimpleNamespace(image=ImageSpec(height=side, width=side, mode="RGB"))
    return cast(LoadedModel, SimpleNamespace(captioner=SimpleNamespace(task=task)))


def striped_photo() -> bytes:
    """A JPEG of 1920 x 1920 pixels with stripes 24 pixels wide."""
    stripes = np.zeros((1920, 1920), np.uint8)
    stripes[:, np.arange(1920) // 24 % 2 == 0] = 255
    stream = io.BytesIO()
    Image.fromarray(stripes).save(stream, "JPEG")
    return stream.getvalue()


async def test_photo_is_sharp_however_small_the_models_input_is(pool: Executor) -> None:
    png = await draw_caption(model_of(8), striped_photo(), CAPTION, LIMITS, pool)
    sheet = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    line = sheet[46 + 28 + PANEL_SIDE // 2, 12 : 12 + PANEL_SIDE]  # across the plain picture
    assert np.ptp(line) > 200
    assert np.count_nonzero(np.diff((line > 128).astype(int))) == 1920 // 24 - 1


async def test_other_models_draw_nothing(pool: Executor) -> None:
    model = SimpleNamespace(captioner=None, name="plus", task=None)
    with pytest.raises(NotSupported, match="'plus' does not caption pictures"):
        await draw_caption(cast(LoadedModel, model), striped_photo(), CAPTION, LIMITS, pool)


async def test_limits_of_a_picture_hold(pool: Executor) -> None:
    limits = ImageLimits(max_pixels=1000)
    with pytest.raises(PayloadTooLarge, match="1920 x 1920"):
        await draw_caption(model_of(8), striped_photo(), CAPTION, limits, pool)


async def test_caption_without_attention_is_refused(pool: Executor) -> None:
    with pytest.raises(InvalidInput, match="attention: none is known"):
        await draw_caption(model_of(8), striped_photo(), caption_of(0, 0), LIMITS, pool)
