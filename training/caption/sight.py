"""What the network sees of many pictures, computed once."""

import torch
from torch import Tensor

from training.caption.decoding import BATCH
from training.caption.model import Captioner, Picture, WordState
from training.vision.views import plain_views


@torch.inference_mode()
def see_all(captioner: Captioner, images: Tensor) -> tuple[Picture, Tensor]:
    """What the decoder sees of uint8 pictures [N, 3, S, S], in float32.

    Returns:
        The decoder's view, N rows, and the encoder's mean features [N, C].
    """
    seen: list[Picture] = []
    means: list[Tensor] = []
    for part in torch.split(images, BATCH):
        features = _encode(captioner, part)
        seen.append(captioner.model.reader(features))
        means.append(features.mean((2, 3)))
    return _join(seen), torch.cat(means)


@torch.inference_mode()
def mean_features(captioner: Captioner, images: Tensor) -> Tensor:
    """The encoder's mean features [N, C] of uint8 pictures [N, 3, S, S], in float32."""
    parts = torch.split(images, BATCH)
    return torch.cat([_encode(captioner, part).mean((2, 3)) for part in parts])


def _encode(captioner: Captioner, images: Tensor) -> Tensor:
    pixels = plain_views(images, images.shape[2])
    features: Tensor = captioner.encoder(pixels.contiguous(memory_format=torch.channels_last))
    return features.float()


def _join(parts: list[Picture]) -> Picture:
    values = [part.values for part in parts if part.values is not None]
    keys = [part.keys for part in parts if part.keys is not None]
    return Picture(
        WordState(
            torch.cat([part.state.hidden for part in parts]),
            torch.cat([part.state.cell for part in parts]),
        ),
        torch.cat(values) if values else None,
        torch.cat(keys) if keys else None,
    )
