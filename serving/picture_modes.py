"""From any of Pillow's modes to 8-bit grey or RGB without transparency."""

import numpy as np
from PIL import Image


def flatten(image: Image.Image) -> Image.Image:
    """Bring any mode that the five formats have to ``L`` or ``RGB`` without transparency.

    Transparent parts become white, as on paper and in a browser, unless all that is visible is
    light: a drawing in white ink would vanish, so it gets black.
    """
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.has_transparency_data:
        return _without_transparency(image)
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image.convert("RGB")


def flatten_on_white(image: Image.Image) -> Image.Image:
    """One frame of an animation as ``RGB``. Always on white: the background must not flicker."""
    if image.mode.startswith("I"):
        return _from_16_bit(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    flat = Image.new("RGB", image.size, "white")
    flat.paste(layered, mask=layered.getchannel("A"))
    return flat


def _from_16_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits by scaling; Pillow's own conversion clips at 255."""
    wide = np.clip(np.asarray(image), 0, 65_535).astype(np.uint32)
    grey = ((wide + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[wide == transparent] = 255
    return Image.fromarray(grey)


def _without_transparency(image: Image.Image) -> Image.Image:
    layered = image.convert("RGBA")
    alpha = layered.getchannel("A")
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    # Not of `layered`: a conversion of RGBA to L weighs nothing, and L to L stays exact.
    colour = layered.convert("RGB").convert(mode)
    visible = alpha.point([0] * 128 + [255] * 128)
    counts = np.asarray(colour.convert("L").histogram(mask=visible))
    hidden_on_white = counts[:128].sum() < 0.01 * counts.sum()
    flat = Image.new(mode, image.size, 0 if hidden_on_white else (255 if mode == "L" else "white"))
    flat.paste(colour, mask=alpha)
    return flat
