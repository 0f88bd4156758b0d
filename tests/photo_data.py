"""Made-up photographs with captions: one coloured square each, and what five people say of it."""

import numpy as np
import torch

from training.data.captioned_images import CaptionedImages, CaptionedSplit

COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}
SIDES = ("left", "right")


def make_photos(rows: int = 24, side: int = 32, seed: int = 0) -> CaptionedImages:
    """Three splits of ``rows`` pictures [3, side, side]; what is said of each is true."""
    train, validation, test = (_make_split(rows, side, seed * 3 + number) for number in range(3))
    return CaptionedImages("made-up", train, validation, test, "0" * 64, {})


def _make_split(rows: int, side: int, seed: int) -> CaptionedSplit:
    random = np.random.default_rng(seed)
    images = random.integers(90, 130, (rows, 3, side, side), dtype=np.uint8)
    captions = []
    for image in images:
        colour = list(COLOURS)[random.integers(len(COLOURS))]
        where = SIDES[random.integers(len(SIDES))]
        start = 2 if where == "left" else side // 2 + 2
        block = image[:, side // 4 : 3 * side // 4, start : start + side // 2 - 4]
        block[:] = np.array(COLOURS[colour], np.uint8)[:, None, None]
        captions.append(
            (
                f"A {colour} square on the {where} .",
                f"a {colour} square is on the {where}",
                f"There is a {colour} square .",
                f"a square , {colour} , on the {where} side",
                f"A square that is {colour}",
            )
        )
    names = tuple(f"{seed}-{row}.jpg" for row in range(rows))
    return CaptionedSplit(torch.from_numpy(images), names, tuple(captions))
