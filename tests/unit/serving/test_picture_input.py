"""From pictures to a graph's input. What is checked at load: ``test_image_classification``."""

import io

import numpy as np
from PIL import Image

from quartet.artifact import ImageSpec
from serving.images import ImageLimits
from serving.tasks.picture_input import PictureInput
from serving.types import Datatype, TensorSpec

SPEC = ImageSpec(layout="CHW", height=4, width=6, mode="RGB", scale=1 / 255, mean=(0.5,) * 3)


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), np.uint8)
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_stack_gives_what_preprocess_makes_of_the_encoded_pictures() -> None:
    pictures = PictureInput(SPEC, (TensorSpec("image", Datatype.FP32, (-1, 3, 4, 6)),))
    images = [picture(1), picture(2)]
    stacked = pictures.stack(images)
    assert stacked.datatype is Datatype.FP32
    assert stacked.data.shape == (2, 3, 4, 6)
    encoded = pictures.preprocess([png(image) for image in images], ImageLimits())
    np.testing.assert_array_equal(stacked.data, encoded.data)
