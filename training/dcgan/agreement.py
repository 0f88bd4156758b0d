"""Whether generated pictures show what was asked for. P conditions, A attributes, V values.

A condition is a class or a sentence of the grammar; ``allowed``, bool [P, A, V], says which values
of which attributes fit it. It claims an attribute if some value of it does not fit.
"""

import torch
from torch import Tensor

from quartet.config import ConfigError
from training.dcgan.pictures import PictureSet
from training.dcgan.prompts import AGE_GROUPS
from training.evaluation.metrics import wilson_interval
from training.evaluation.spec import Figures

DIGITS = 10
_FORMS = 3
_AGES = len(AGE_GROUPS) + 1


def allowed_values(dataset: str, condition: str, data: PictureSet) -> Tensor:
    """``allowed`` of all conditions of a model.

    Raises ConfigError where nothing here knows what a condition claims.
    """
    if condition == "prompt" and data.grammar is not None:
        return data.grammar.allowed
    if condition == "class" and dataset == "mnist":
        return digit_classes()
    if condition == "class" and dataset == "utkface":
        return face_classes()
    raise ConfigError(f"nothing is known of what a {condition} of {dataset} claims")


def digit_classes() -> Tensor:
    """Of the classes of MNIST: each claims its digit, nothing of weight and slant."""
    allowed = torch.ones(DIGITS, 3, DIGITS, dtype=torch.bool)
    allowed[:, 0] = torch.eye(DIGITS, dtype=torch.bool)
    return allowed


def face_classes() -> Tensor:
    """Of ``FACE_CLASSES``: each claims a gender and a group of ages."""
    number = torch.arange(2 * _AGES)
    values = torch.arange(_AGES)
    return torch.stack(
        [(number // _AGES)[:, None] == values, (number % _AGES)[:, None] == values], dim=1
    )


def measure_agreement(
    allowed: Tensor, said: Tensor, shown: Tensor, names: tuple[str, ...]
) -> Figures:
    """Shares of N pictures that show what was said.

    Args:
        allowed: [P, A, V].
        said: conditions int64 [N].
        shown: attributes int64 [N, A] that a scorer sees.
        names: of the attributes.

    Returns:
        For each attribute that is claimed at all, ``share`` of the pictures whose condition claims
        it that show it, Wilson's 95 % ``interval`` and ``count``; under ``joint`` the same for all
        that is claimed of a picture at once, over the pictures of which anything is.
    """
    claimed = ~allowed.all(2)[said]
    columns = torch.arange(shown.shape[1])
    fits = allowed[said[:, None], columns, shown]
    figures = {
        name: _share(fits[claimed[:, column], column])
        for column, name in enumerate(names)
        if claimed[:, column].any()
    }
    figures["joint"] = _share((fits | ~claimed).all(1)[claimed.any(1)])
    return figures


def _share(right: Tensor) -> Figures:
    hits, count = int(right.sum()), len(right)
    return {
        "share": hits / count,
        "interval_95": list(wilson_interval(hits, count)),
        "count": count,
    }
