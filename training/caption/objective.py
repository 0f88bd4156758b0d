"""What a captioner is trained to do. B captions, T words, V symbols, L places."""

import torch
from torch import Tensor

IGNORED = -1
"""Target of a place behind a caption's end, or of a word that is not in the vocabulary."""


def word_loss(scores: Tensor, targets: Tensor, offset: Tensor, smoothing: float) -> Tensor:
    """Mean over words of -sum_v q_v log softmax(scores)_v, nats.

    q is 1 - e for the word that stands there and e spread evenly over all that may stand there
    (label smoothing, Szegedy et al. 2016, section 7).

    Args:
        scores: float32 [..., V].
        targets: int64 [...], ``IGNORED`` where nothing is to be learnt.
        offset: [V], 0 for symbols that may stand in a caption.
        smoothing: e.
    """
    wanted = targets != IGNORED
    log_probabilities = torch.log_softmax(scores[wanted], dim=1)
    loss = -log_probabilities.gather(1, targets[wanted].unsqueeze(1)).mean()
    if smoothing:
        evenly = -log_probabilities[:, offset == 0].mean()
        loss = (1 - smoothing) * loss + smoothing * evenly
    return loss


def coverage_loss(shares: Tensor, targets: Tensor) -> Tensor:
    """Doubly stochastic attention: mean over captions of 1/L sum_i (1 - sum_t alpha_ti)^2.

    Xu et al. 2015, section 4.2.1 and eq. 14, divided by L so that its weight does not depend on the
    grid.

    Args:
        shares: [B, T, L].
        targets: int64 [B, T]; words whose target is ``IGNORED`` count too, but for the places
            behind the end.
    """
    inside = (targets != IGNORED).flip(1).cumsum(1).flip(1) > 0  # up to the last target
    weights = inside.to(shares).unsqueeze(2)
    seen = (shares * weights).sum(1)
    return ((1 - seen) ** 2).mean()
