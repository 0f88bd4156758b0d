"""The two networks. B pictures of C channels and S x S pixels, Z numbers of noise.

Radford, Metz, Chintala 2016, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", section 3: strided convolutions instead of pooling, batch
normalisation, ReLU in the generator and leaky ReLU in the discriminator, tanh at the end. Noise is
normal rather than uniform, so that paths between samples can follow the sphere (White 2016).
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training.dcgan.config import DcganModelConfig

_SLOPE = 0.2
_WORD_WIDTH = 48
_CLASS_STD = 0.2


def base_side(side: int) -> int:
    """Height and width of the smallest feature map: 4 to 7, halved from ``side``."""
    while side > 7:
        side //= 2
    return side


def _halvings(side: int) -> int:
    return (side // base_side(side)).bit_length() - 1


class ClassCondition(nn.Module):
    """A vector for each class."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(classes, width)
        # Of the size that prompts have. With PyTorch's own deviation of 1 the classes outweigh the
        # noise, and each soon has one picture only.
        nn.init.normal_(self.vectors.weight, std=_CLASS_STD)

    def forward(self, labels: Tensor) -> Tensor:
        """[B, width] of class numbers int64 [B]."""
        vectors: Tensor = self.vectors(labels)
        return vectors


class PromptCondition(nn.Module):
    """A vector for a row of words: the last state of a gated recurrent network (Cho et al. 2014).

    Reed et al. 2016 train a text encoder on pictures first; prompts of a few words need no such
    thing, and this one learns with the network that it belongs to.
    """

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, _WORD_WIDTH, padding_idx=0)
        self.cell = nn.GRUCell(_WORD_WIDTH, width)

    def forward(self, words: Tensor) -> Tensor:
        """[B, width] of word numbers int64 [B, T], ended by zeros, which change nothing."""
        embedded = self.words(words)
        state: Tensor = embedded.new_zeros(words.shape[0], self.cell.hidden_size)
        for place in range(words.shape[1]):
            following = self.cell(embedded[:, place], state)
            state = torch.where(words[:, place, None] != 0, following, state)
        return state


def make_condition(config: DcganModelConfig, symbols: int) -> nn.Module | None:
    """What turns classes or words (``symbols`` of them) into vectors; None without a condition."""
    if config.condition == "class":
        return ClassCondition(symbols, config.condition_width)
    if config.condition == "prompt":
        return PromptCondition(symbols, config.condition_width)
    return None


class Generator(nn.Module):
    """Noise, and a condition where the model has one, to a picture.

    Args:
        config: architecture.
        symbols: classes, or words of the vocabulary; of no use without a condition.
    """

    def __init__(self, config: DcganModelConfig, symbols: int = 0) -> None:
        super().__init__()
        self.condition = make_condition(config, symbols)
        steps = _halvings(config.side)
        width = config.generator_width * 2 ** (steps - 1)
        inputs = config.latent + (config.condition_width if self.condition is not None else 0)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(inputs, width, base_side(config.side), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        for _ in range(steps - 1):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 4, 2, padding=1, bias=False),
                nn.BatchNorm2d(width // 2),
                nn.ReLU(),
            ]
            width //= 2
        layers += [nn.ConvTranspose2d(width, config.channels, 4, 2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Pictures [B, C, S, S] from -1 to 1.

        Args:
            z: noise [B, Z], normal with mean 0 and deviation 1.
            condition: class numbers int64 [B] or word numbers int64 [B, T], as the model wants.
        """
        if self.condition is not None:
            z = torch.cat([z, self.condition(condition).to(z)], dim=1)
        pictures: Tensor = self.layers(z[:, :, None, None])
        return pictures


class Discriminator(nn.Module):
    """A picture, and a condition where the model has one, to the logit of "real".

    The condition joins the smallest feature map at every place (Reed et al. 2016, section 4.1).
    """

    def __init__(self, config: DcganModelConfig, symbols: int = 0) -> None:
        super().__init__()
        self.condition = make_condition(config, symbols)
        layers: list[nn.Module] = []
        inputs: int = config.channels
        width = config.discriminator_width
        for step in range(_halvings(config.side)):
            # The first layer has no batch normalisation (Radford et al. 2016, section 3).
            plain = step == 0 or config.spectral_norm
            layers.append(_normed(nn.Conv2d(inputs, width, 4, 2, 1, bias=plain), config))
            if not plain:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(_SLOPE))
            inputs, width = width, width * 2
        self.features = nn.Sequential(*layers)
        head: list[nn.Module] = []
        if self.condition is not None:
            joined = nn.Conv2d(inputs + config.condition_width, inputs, 1)
            head += [_normed(joined, config), nn.LeakyReLU(_SLOPE)]
        head.append(_normed(nn.Conv2d(inputs, 1, base_side(config.side)), config))
        self.head = nn.Sequential(*head)

    def forward(self, pictures: Tensor, condition: Tensor | None = None) -> Tensor:
        """Logits [B] of pictures [B, C, S, S] from -1 to 1, with a condition as the generator's."""
        features = self.features(pictures)
        if self.condition is not None:
            vectors = self.condition(condition).to(features)[:, :, None, None]
            features = torch.cat([features, vectors.expand(-1, -1, *features.shape[2:])], dim=1)
        logits: Tensor = self.head(features)
        return logits.flatten()


def _normed(layer: nn.Conv2d, config: DcganModelConfig) -> nn.Module:
    return spectral_norm(layer) if config.spectral_norm else layer
