"""Training objectives by name: from scores [B, C] and labels int64 [B] to a scalar.

least_squares  L = 1/B sum_n || y_n - t_n ||^2, t_n the one-hot target of row n
               (Bishop 2006, section 4.1.3). The scores themselves approach 0 and 1.
cross_entropy  L = -1/B sum_n sum_c q_nc log softmax(y_n)_c
               with q_nc = (1 - e) t_nc + e / C, e the label smoothing (Bishop 2006, eq. 4.108;
               smoothing: Szegedy et al. 2016, section 7).
"""

from torch import Tensor, nn
from torch.nn import functional

from quartet.config import ConfigError
from training.config import LossConfig


class LeastSquares(nn.Module):
    """Squared distance of the scores to the one-hot target, mean over rows, sum over classes."""

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of scores [B, C] and labels int64 [B]."""
        targets = functional.one_hot(labels, scores.shape[1]).to(scores)
        return functional.mse_loss(scores, targets, reduction="sum") / len(scores)


def make_loss(config: LossConfig) -> nn.Module:
    """The objective called ``config.name``. Raises ConfigError for a setting it does not have."""
    if config.name == "cross_entropy":
        return nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    if config.label_smoothing:
        raise ConfigError(
            f"loss.label_smoothing: cross_entropy alone has it, got loss.name {config.name!r}"
        )
    return LeastSquares()
