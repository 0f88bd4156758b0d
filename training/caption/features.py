"""What an encoder makes of pictures, computed once where the encoder no longer learns."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from training.caption.config import CaptionDataConfig
from training.runtime import Runtime
from training.seeding import Stream, make_generator
from training.vision.views import draw_crops, draw_jitter, plain_views, random_views

BATCH = 64
"""Pictures of one forward pass."""


@torch.inference_mode()
def plain_features(
    encoder: nn.Module,
    images: Tensor,
    side: int,
    autocast: Callable[[], AbstractContextManager[None]],
) -> Tensor:
    """Features of all of each picture.

    Args:
        encoder: in eval mode.
        images: uint8 [N, 3, H, W].
        side: height and width that the encoder is given.
        autocast: context of the forward pass.

    Returns:
        float16 [N, C, h, w].
    """
    return torch.cat(
        [
            _forward(encoder, plain_views(part, side), autocast)
            for part in torch.split(images, BATCH)
        ]
    )


@torch.inference_mode()
def view_features(
    encoder: nn.Module, images: Tensor, data: CaptionDataConfig, runtime: Runtime, seed: int
) -> Tensor:
    """Features of ``data.views`` views of each picture: all of it, mirrored, then random parts.

    Args:
        encoder: in eval mode.
        images: uint8 [N, 3, H, W].
        data: side and views.
        runtime: arithmetic.
        seed: of the random parts.

    Returns:
        float16 [views, N, C, h, w].
    """
    side, autocast = data.side, runtime.autocast
    found = [plain_features(encoder, images, side, autocast)]
    if data.views > 1:
        found.append(plain_features(encoder, images.flip(3), side, autocast))
    for view in range(2, data.views):
        parts = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            generator = make_generator(seed, Stream.AUGMENT, view, start)
            maps = draw_crops(data.crop, len(part), generator)
            jitter = draw_jitter(data.crop, len(part), generator)
            parts.append(_forward(encoder, random_views(part, maps, jitter, side), autocast))
        found.append(torch.cat(parts))
    return torch.stack(found)


def _forward(
    encoder: nn.Module, views: Tensor, autocast: Callable[[], AbstractContextManager[None]]
) -> Tensor:
    with autocast():
        features: Tensor = encoder(views.contiguous(memory_format=torch.channels_last))
    return features.half().contiguous()
