"""Finds the length penalty of each beam width on the validation split.

A search that ends as soon as ``width`` captions are complete does not look at the penalty before it
ranks them, so one search per width serves every penalty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from quartet.beam_search import Hypothesis
from quartet.generation import MAX_TOP
from training.caption.cider import CiderD
from training.caption.decoding import BATCH, BeamSettings, search, words_of
from training.caption.model import CaptionModel, Picture

WIDTHS = (1, 3, 5)
"""Beam widths that are judged."""
PENALTIES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
"""Length penalties that are tried."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A width with the penalty that suits it best."""

    settings: BeamSettings
    """One caption a picture."""
    cider_d: dict[float, float]
    """CIDEr-D on the validation split by penalty."""

    @property
    def best(self) -> float:
        """That of the penalty chosen."""
        return self.cider_d[self.settings.length_penalty]


@torch.inference_mode()
def search_all(
    model: CaptionModel, picture: Picture, settings: BeamSettings
) -> list[list[Hypothesis]]:
    """``search`` for the captions of any number of rows, some at a time."""
    rows = torch.arange(len(picture.state.hidden))
    found: list[list[Hypothesis]] = []
    for part in torch.split(rows, BATCH):
        found += search(model, picture.select(part), settings)
    return found


def tune_penalty(
    model: CaptionModel,
    picture: Picture,
    cider: CiderD,
    width: int,
    max_tokens: int,
    penalties: Sequence[float] = PENALTIES,
) -> Tuned:
    """Choose the length penalty by CIDEr-D; of equally good ones the nearest to 1.

    Args:
        model: in eval mode.
        picture: N rows of the validation split.
        cider: made of the references of these pictures.
        width: of the search.
        max_tokens: of a caption, the end included.
        penalties: to be tried.
    """
    found = complete_captions(model, picture, width, max_tokens)
    scores = {
        penalty: cider.score([words_of(best_of(one, penalty), model.symbols) for one in found])
        for penalty in penalties
    }
    best = max(scores, key=lambda penalty: (scores[penalty], -abs(penalty - 1)))
    return Tuned(BeamSettings(width=width, length_penalty=best, max_tokens=max_tokens), scores)


def complete_captions(
    model: CaptionModel, picture: Picture, width: int, max_tokens: int
) -> list[list[Hypothesis]]:
    """All captions that a search completes, for each picture, likeliest first.

    Before the last step no more than ``width`` captions can end at once, and the search is over
    when there are ``width``; at the last step all candidates of all beams do.
    """
    most = 2 * width - 1 + width * min(MAX_TOP, len(model.symbols))
    settings = BeamSettings(width=width, n=most, length_penalty=0.0, max_tokens=max_tokens)
    return search_all(model, picture, settings)


def best_of(found: Sequence[Hypothesis], penalty: float) -> Hypothesis:
    """The caption that a search with this length penalty puts first."""
    return max(found, key=lambda one: one.log_probability / len(one.tokens) ** penalty)
