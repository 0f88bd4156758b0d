"""An encoder with a linear layer on the mean of its features."""

from torch import Tensor, nn


class EncoderClassifier(nn.Module):
    """Logits of what a picture shows; ``encoder`` alone is what other families take over.

    Args:
        encoder: standardised [B, 3, H, W] to features [B, channels, h, w].
        channels: of the features.
        classes: logits.
        dropout: of the mean features.
    """

    def __init__(self, encoder: nn.Module, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes] of standardised pictures [B, 3, H, W]."""
        logits: Tensor = self.classifier(self.encoder(x).mean((2, 3)))
        return logits
