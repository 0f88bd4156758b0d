"""From pictures to the tensor that a graph wants, as the model declares it.

Plain functions of their arguments: safe to call from several threads at once.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from quartet.artifact import ImageSpec
from quartet.config import ConfigError
from serving.digits import FIELD
from serving.errors import ServingError
from serving.images import ImageLimits, decode_image, to_array
from serving.types import Datatype, Tensor, TensorSpec

_PIXEL_TYPES = (Datatype.UINT8, Datatype.FP16, Datatype.FP32, Datatype.FP64)


class PictureInput:
    """The picture input of one graph, checked against its declaration."""

    def __init__(self, spec: ImageSpec, inputs: Sequence[TensorSpec]) -> None:
        """Check the declaration against the graph.

        Args:
            spec: the declaration.
            inputs: all inputs of the graph.

        Raises:
            ConfigError: the declaration contradicts the graph; the text names the field.
        """
        self.spec = spec
        self.datatype = _check_input(spec, inputs)

    def preprocess(self, images: Sequence[bytes], limits: ImageLimits) -> Tensor:
        """Decode pictures and stack them.

        Args:
            images: encoded pictures, at least one.
            limits: of one picture.

        Returns:
            Tensor [len(images), ...] in the input's datatype and the declared layout.

        Raises:
            InvalidInput, PayloadTooLarge: a picture is at fault; of several, the text says which.
        """
        arrays = []
        for position, data in enumerate(images, start=1):
            try:
                picture = decode_image(data, limits, self.spec)
                arrays.append(to_array(picture, self.spec, self.datatype.dtype))
            except ServingError as error:
                if len(images) == 1:
                    raise
                which = f"image {position} of {len(images)}"
                raise type(error)(f"{which}: {error.message}") from error
        return Tensor(self.datatype, np.stack(arrays))

    def stack(self, pictures: Sequence[Image.Image]) -> Tensor:
        """The same from pictures that are decoded already, as ``decode_image`` gives them."""
        dtype = self.datatype.dtype
        return Tensor(self.datatype, np.stack([to_array(p, self.spec, dtype) for p in pictures]))


def _check_input(image: ImageSpec, inputs: Sequence[TensorSpec]) -> Datatype:
    """Compare ``image`` with the graph's inputs; the datatype to be fed."""
    names = [spec.name for spec in inputs]
    if image.input not in names:
        raise ConfigError(f"image.input: the graph has no input {image.input!r}, it has {names}")
    others = [spec.name for spec in inputs if spec.name != image.input and not spec.optional]
    if others:
        raise ConfigError(f"image.input: the graph also needs {others}, expected one input")
    spec = inputs[names.index(image.input)]
    if spec.datatype not in _PIXEL_TYPES:
        wanted = " or ".join(datatype.wire for datatype in _PIXEL_TYPES)
        raise ConfigError(
            f"image.input: {spec.name!r} has datatype {spec.datatype.wire}, expected {wanted}"
        )
    _check_channels(image, spec.datatype)
    declared = _declared_shape(image)
    fits = len(declared) + 1 == len(spec.shape) and all(
        size in (-1, wanted) for size, wanted in zip(spec.shape[1:], declared, strict=True)
    )
    if not fits:
        raise ConfigError(
            f"image: layout {image.layout}, mode {image.mode}, height {image.height} and width "
            f"{image.width} make {['batch', *declared]}, but input {spec.name!r} has shape "
            f"{list(spec.shape)}"
        )
    return spec.datatype


def _check_channels(image: ImageSpec, datatype: Datatype) -> None:
    channels = _channels(image)
    if image.layout == "HW" and channels != 1:
        raise ConfigError("image.layout: HW has no channel axis, expected HWC or CHW for mode RGB")
    for field, values in (("mean", image.mean), ("std", image.std)):
        if values and len(values) != channels:
            raise ConfigError(f"image.{field}: {len(values)} values, expected {channels} or none")
    if any(value <= 0 for value in image.std):
        raise ConfigError(f"image.std: {image.std}, expected values > 0")
    if datatype is Datatype.UINT8 and (image.scale != 1.0 or image.mean or image.std):
        raise ConfigError("image: scale, mean and std are for float inputs, this one is UINT8")
    if image.fit == "digit" and (channels, image.height, image.width) != (1, FIELD, FIELD):
        raise ConfigError(
            f"image.fit: digit makes mode L of {FIELD} x {FIELD}, got mode {image.mode} of "
            f"{image.height} x {image.width}"
        )


def _channels(image: ImageSpec) -> int:
    return 1 if image.mode == "L" else 3


def _declared_shape(image: ImageSpec) -> tuple[int, ...]:
    """Axes of one picture, without the batch axis."""
    if image.layout == "HW":
        return image.height, image.width
    if image.layout == "HWC":
        return image.height, image.width, _channels(image)
    return _channels(image), image.height, image.width
