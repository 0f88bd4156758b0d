"""Running mean of a model's weights."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def make_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """The exponential mean w <- decay w + (1 - decay) model of the weights; None for decay 0.

    Averaging of iterates: Polyak and Juditsky 1992. The first update copies the model. Buffers
    (statistics of batch normalisation) are copied at each update, not averaged: they are running
    means already.
    """
    if decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]  # untyped in PyTorch
