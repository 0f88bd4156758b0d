"""The networks as they are served: bytes outside, each row computed by itself. B pictures.

What PyTorch needs for training alone is folded away: batch normalisation into the convolution
before it, the division of spectral normalisation into the weights. What would let a row depend on
its batch is written in another way (``training.export.rowwise``).
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from training.dcgan.model import Discriminator, Generator, PromptCondition
from training.dcgan.task import to_pixels, to_unit
from training.export.rowwise import RowLinear


class PictureGenerator(nn.Module):
    """Noise, and a condition where the network has one, to pictures as they are shown."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """float32 [B, Z] to uint8 [B, S, S, C]; conditions as ``training.dcgan.model`` has them."""
        return to_pixels(self.generator(z, condition)).permute(0, 2, 3, 1)


class PictureCritic(nn.Module):
    """A picture, and a condition where the network has one, to how real it looks."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """uint8 [B, S, S, C] to probabilities float32 [B]."""
        logits = self.discriminator(to_unit(image.permute(0, 3, 1, 2)), condition)
        return cast(Tensor, logits).sigmoid()


class RowPromptCondition(nn.Module):
    """``PromptCondition`` with 1x1 convolutions for the products of its cell."""

    def __init__(self, condition: PromptCondition) -> None:
        super().__init__()
        self.words, cell = condition.words, condition.cell
        self.hidden = cell.hidden_size
        self.read = RowLinear(cell.weight_ih, cell.bias_ih)
        self.recall = RowLinear(cell.weight_hh, cell.bias_hh)

    def forward(self, words: Tensor) -> Tensor:
        """As ``PromptCondition``; the gates are those of ``torch.nn.GRUCell``."""
        embedded = self.words(words)
        state: Tensor = embedded.new_zeros(words.shape[0], self.hidden)
        for place in range(words.shape[1]):
            reset, update, new = self.read(embedded[:, place]).chunk(3, 1)
            own_reset, own_update, own_new = self.recall(state).chunk(3, 1)
            keep = torch.sigmoid(update + own_update)
            candidate = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
            following = (1 - keep) * candidate + keep * state
            state = torch.where(words[:, place, None] != 0, following, state)
        return state


def served_generator(generator: Generator) -> PictureGenerator:
    """A copy of ``generator``, which is in eval mode, in the served form."""
    network = copy.deepcopy(generator)
    network.layers = _without_normalisation(network.layers)
    _compute_by_rows(network)
    return PictureGenerator(network).eval()


def served_critic(discriminator: Discriminator) -> PictureCritic:
    """A copy of ``discriminator``, which is in eval mode, in the served form."""
    network = copy.deepcopy(discriminator)
    network.features = _without_normalisation(_plain(network.features))
    network.head = _plain(network.head)
    _compute_by_rows(network)
    return PictureCritic(network).eval()


def _compute_by_rows(network: Generator | Discriminator) -> None:
    if isinstance(network.condition, PromptCondition):
        network.condition = RowPromptCondition(network.condition)


def _plain(layers: nn.Sequential) -> nn.Sequential:
    """``layers`` with weights in place of what computes them (spectral normalisation).

    New layers, because ``remove_parametrizations`` changes the class, which copies share.
    """
    return nn.Sequential(
        *(
            _plain_convolution(layer)
            if isinstance(layer, nn.Conv2d) and is_parametrized(layer)
            else layer
            for layer in layers
        )
    )


def _plain_convolution(layer: nn.Conv2d) -> nn.Conv2d:
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        cast(tuple[int, int], layer.kernel_size),
        cast(tuple[int, int], layer.stride),
        cast(tuple[int, int], layer.padding),
        bias=layer.bias is not None,
    )
    with torch.no_grad():
        plain.weight.copy_(layer.weight)
        if plain.bias is not None and layer.bias is not None:
            plain.bias.copy_(layer.bias)
    return plain.eval()


def _without_normalisation(layers: nn.Sequential) -> nn.Sequential:
    """``layers`` with each batch normalisation folded into the layer before it."""
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            before = cast(nn.Conv2d, folded.pop())
            transposed = isinstance(before, nn.ConvTranspose2d)
            folded.append(fuse_conv_bn_eval(before, layer, transpose=transposed))
        else:
            folded.append(layer)
    return nn.Sequential(*folded)
