"""The network of family ``faces``. B pictures."""

import torch
from torch import Tensor, nn

from training.vision.config import ResidualConfig
from training.vision.resnet import ResidualEncoder

AGES = 101
"""Bins of the age, years 0 to 100; an older face counts as 100."""


class FaceAttributes(nn.Module):
    """A residual encoder, and on the mean of its features one logit of gender and 101 of age.

    The age is the expectation over its bins (Rothe, Timofte, Van Gool 2018, "Deep Expectation of
    Real and Apparent Age", section 3.3).
    """

    def __init__(self, config: ResidualConfig, dropout: float) -> None:
        super().__init__()
        self.encoder = ResidualEncoder(config.channels, config.blocks)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.encoder.channels, 1 + AGES)
        )

    def features(self, x: Tensor) -> Tensor:
        """Features [B, channels], none negative, of standardised [B, 3, H, W]."""
        mean: Tensor = self.encoder(x).mean((2, 3))
        return mean

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of "female" [B] and of the age's bins [B, 101], of standardised [B, 3, H, W]."""
        logits = self.classifier(self.features(x)).float()
        return logits[:, 0], logits[:, 1:]


def expected_age(logits: Tensor) -> Tensor:
    """Years [B] of logits [B, 101]."""
    return torch.softmax(logits, 1) @ torch.arange(AGES, dtype=logits.dtype, device=logits.device)
