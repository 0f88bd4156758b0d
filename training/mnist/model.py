"""Classifiers of 28x28 digits. Input: standardised float32 [B, 1, 28, 28]; output: logits [B, 10].

mlp     784 - hidden ... - 10                              (Rumelhart et al. 1986)
lenet   conv5x5 - pool - conv5x5 - pool - fc - 10          (LeCun et al. 1998, wider, ReLU)
resnet  conv3x3 - three stages of residual blocks - 10     (He et al. 2016, section 4.2)
"""

from collections.abc import Callable

from torch import Tensor, nn

from quartet.config import ConfigError
from training.mnist.config import MnistConfig, MnistModelConfig
from training.nn.activations import fan_out_factor, make_activation
from training.nn.initialisation import initialise

PIXEL_MEAN = 0.1307
"""Mean of the training pixels after division by 255."""
PIXEL_STD = 0.3081
"""Their standard deviation."""
SIDE = 28
"""Height and width of a picture, pixels."""
CLASSES = 10
"""Digits 0 to 9."""
NormFactory = Callable[[int], nn.Module]
"""Makes the normalisation of a layer from its number of channels."""


class Mlp(nn.Module):
    """Fully connected network with dropout after each hidden layer."""

    def __init__(self, config: MnistModelConfig, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), *_dense(SIDE * SIDE, config, dropout), _head(SIDE * SIDE, config)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, 10] of standardised pictures [B, 1, 28, 28]."""
        logits: Tensor = self.layers(x)
        return logits


class LeNet(nn.Module):
    """Two 5x5 convolutions, each pooled 2x2, then fully connected layers with dropout."""

    def __init__(self, config: MnistModelConfig, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 1, SIDE
        for width in config.channels:
            layers += [
                nn.Conv2d(channels, width * _widening(config), 5),
                *_norm_and_activation(config, width, nn.BatchNorm2d),
                nn.MaxPool2d(2) if config.pool == "max" else nn.AvgPool2d(2),
            ]
            channels, side = width, (side - 4) // 2
        self.features = nn.Sequential(*layers)
        flat = channels * side * side
        self.classifier = nn.Sequential(
            nn.Flatten(), *_dense(flat, config, dropout), _head(flat, config)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, 10] of standardised pictures [B, 1, 28, 28]."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


class ResidualBlock(nn.Module):
    """y = f(x + F(x)), F two 3x3 convolutions (He et al. 2016, eq. 1).

    Where the shape changes, the shortcut is a 1x1 convolution of the same stride (eq. 2).
    """

    def __init__(self, config: MnistModelConfig, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        norm, bias = _norm(config, nn.BatchNorm2d), not config.batch_norm
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs * _widening(config), 3, stride, padding=1, bias=bias),
            *_norm_and_activation(config, outputs, nn.BatchNorm2d),
            nn.Conv2d(outputs, outputs * _widening(config), 3, padding=1, bias=bias),
            norm(outputs * _widening(config)),
        )
        same = stride == 1 and inputs == outputs and _widening(config) == 1
        self.shortcut: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(inputs, outputs * _widening(config), 1, stride, bias=bias),
                norm(outputs * _widening(config)),
            )
        )
        self.activation = make_activation(config.activation, config.maxout_pieces)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H/stride, W/stride]."""
        y: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return y


class ResNet(nn.Module):
    """A 3x3 stem, three stages that halve the sides and widen, global average, one linear layer."""

    def __init__(self, config: MnistModelConfig, dropout: float) -> None:
        super().__init__()
        width = config.channels[0]
        layers: list[nn.Module] = [
            nn.Conv2d(1, width * _widening(config), 3, padding=1, bias=not config.batch_norm),
            *_norm_and_activation(config, width, nn.BatchNorm2d),
        ]
        for stage, outputs in enumerate(config.channels):
            for block in range(config.blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(ResidualBlock(config, width, outputs, stride))
                width = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(width, CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, 10] of standardised pictures [B, 1, 28, 28]."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


def build_model(config: MnistConfig) -> nn.Module:
    """A new model of ``config.model.arch``, its weights drawn from PyTorch's global generator.

    Raises:
        ConfigError: ``model.channels`` does not fit the architecture.
    """
    _check_channels(config.model)
    classes = {"mlp": Mlp, "lenet": LeNet, "resnet": ResNet}
    model: nn.Module = classes[config.model.arch](config.model, config.regularisation.dropout)
    initialise(model, config.init, config.model.activation)
    return model


def _check_channels(config: MnistModelConfig) -> None:
    wanted = {"mlp": 0, "lenet": 2, "resnet": 3}[config.arch]
    if wanted and len(config.channels) != wanted:
        raise ConfigError(
            f"model.channels: {config.arch} wants {wanted} values, got {list(config.channels)}"
        )


def _widening(config: MnistModelConfig) -> int:
    return fan_out_factor(config.activation, config.maxout_pieces)


def _norm(config: MnistModelConfig, batch_norm: NormFactory) -> NormFactory:
    return batch_norm if config.batch_norm else lambda _: nn.Identity()


def _norm_and_activation(
    config: MnistModelConfig, width: int, batch_norm: NormFactory
) -> list[nn.Module]:
    """What follows a layer of ``width`` outputs (times the pieces of maxout)."""
    norm = [batch_norm(width * _widening(config))] if config.batch_norm else []
    return [*norm, make_activation(config.activation, config.maxout_pieces)]


def _dense(inputs: int, config: MnistModelConfig, dropout: float) -> list[nn.Module]:
    """The hidden fully connected layers."""
    layers: list[nn.Module] = []
    for width in config.hidden:
        layers += [
            nn.Linear(inputs, width * _widening(config)),
            *_norm_and_activation(config, width, nn.BatchNorm1d),
            nn.Dropout(dropout),
        ]
        inputs = width
    return layers


def _head(flat: int, config: MnistModelConfig) -> nn.Linear:
    return nn.Linear(config.hidden[-1] if config.hidden else flat, CLASSES)
