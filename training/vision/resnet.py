"""Residual network that keeps a grid of features. B pictures, C channels, H x W pixels.

He et al. 2016, "Deep Residual Learning", section 3; the last gain of each branch starts at 0, so
that every block begins as its shortcut (Goyal et al. 2017, section 5.1). The stem is one 3x3
convolution without pooling, for pictures of 64 to 224 pixels rather than 224 alone.
"""

from collections.abc import Sequence

from torch import Tensor, nn

STRIDE = 16
"""Pixels of a cell of the grid: the stem and three of the four stages halve the sides."""


class ResidualBlock(nn.Module):
    """y = relu(x + F(x)), F two 3x3 convolutions with batch normalisation (eq. 1 and 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(outputs)
        nn.init.zeros_(last.weight)
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            last,
        )
        same = stride == 1 and inputs == outputs
        self.shortcut: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H/stride, W/stride]."""
        y: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return y


class ResidualEncoder(nn.Module):
    """Stem and four stages of residual blocks."""

    def __init__(self, channels: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.channels = channels[-1]
        layers: list[nn.Module] = [
            nn.Conv2d(3, channels[0], 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        ]
        width = channels[0]
        for stage, outputs in enumerate(channels):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(ResidualBlock(width, outputs, stride))
                width = outputs
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, channels, H/16, W/16], none negative, of standardised [B, 3, H, W]."""
        y: Tensor = self.layers(x)
        return y
