"""Residual encoder with a linear classifier on the mean of its features."""

from torch import Tensor, nn

from training.vision.config import ResidualConfig
from training.vision.resnet import ResidualEncoder


class EncoderClassifier(nn.Module):
    """Logits of a picture's class; ``encoder`` alone is what other families take over."""

    def __init__(self, config: ResidualConfig, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = ResidualEncoder(config.channels, config.blocks)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.encoder.channels, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes] of standardised pictures [B, 3, H, W]."""
        logits: Tensor = self.classifier(self.encoder(x).mean((2, 3)))
        return logits
