"""Free decoding: the network reads its own words. The same search as the server's."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quartet.beam_search import BeamRules, BeamSearcher, Hypothesis
from quartet.generation import MAX_TOP
from training.caption.model import Captioner, CaptionModel, Picture
from training.data.caption_text import BEGIN, END
from training.vision.views import plain_views

BATCH = 64
"""Pictures searched at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamSettings:
    """How captions are found."""

    width: int = 3
    """Of the search; 1 always takes the likeliest word."""
    n: int = 1
    """Captions of each picture."""
    length_penalty: float = 1.0
    """The score is the sum of log-probabilities over length ** length_penalty."""
    min_tokens: int = 1
    """Words at least."""
    max_tokens: int = 24
    """Words at most, the end included."""


@torch.inference_mode()
def caption_pictures(
    captioner: Captioner, images: Tensor, settings: BeamSettings, batch: int = BATCH
) -> list[list[Hypothesis]]:
    """The best captions of each of uint8 pictures [N, 3, S, S], best first, in float32."""
    found: list[list[Hypothesis]] = []
    for part in torch.split(images, batch):
        picture = captioner.see(plain_views(part, part.shape[2]))
        found += search(captioner.model, picture, settings)
    return found


@torch.inference_mode()
def caption_features(
    model: CaptionModel, features: Tensor, settings: BeamSettings, batch: int = BATCH
) -> list[list[Hypothesis]]:
    """The same from features of the encoder, [N, C, h, w] of any float type."""
    found: list[list[Hypothesis]] = []
    for part in torch.split(features, batch):
        picture: Picture = model.reader(part.float())
        found += search(model, picture, settings)
    return found


def search(model: CaptionModel, picture: Picture, settings: BeamSettings) -> list[list[Hypothesis]]:
    """Search for the captions of each row of ``picture``, all rows side by side.

    Args:
        model: in eval mode.
        picture: B rows.
        settings: of every search.

    Returns:
        For each row the best captions, best first.
    """
    symbols = model.symbols
    rules = beam_rules(settings, symbols)
    searches = [BeamSearcher(rules) for _ in range(len(picture.state.hidden))]
    device = picture.state.hidden.device
    tokens = torch.full((len(searches),), symbols.index(BEGIN), device=device)
    state, live = picture.state, list(range(len(searches)))
    counts = [1] * len(live)
    while live:
        scores, state, shares = model.next_scores(tokens, state, picture)
        top = scores.topk(min(MAX_TOP, len(symbols)), dim=1)
        ids, values = top.indices.cpu().numpy(), top.values.cpu().numpy()
        looks = None if shares is None else shares.cpu().numpy()
        parents: list[int] = []
        chosen: list[int] = []
        still, sizes, start = [], [], 0
        for index, count in zip(live, counts, strict=True):
            rows = slice(start, start + count)
            beams = searches[index].choose(
                ids[rows], values[rows], None if looks is None else looks[rows]
            )
            if beams is not None:
                parents += [start + parent for parent in beams.parents]
                chosen += beams.tokens
                still.append(index)
                sizes.append(len(beams.tokens))
            start += count
        live, counts = still, sizes
        order = torch.tensor(parents, dtype=torch.long, device=device)
        picture = picture._replace(state=state).select(order)
        state, tokens = picture.state, torch.tensor(chosen, dtype=torch.long, device=device)
    return [one.results() for one in searches]


def beam_rules(settings: BeamSettings, symbols: Sequence[str]) -> BeamRules:
    """One search, as the server makes it with these settings."""
    return BeamRules(
        width=settings.width,
        n=settings.n,
        max_tokens=settings.max_tokens,
        min_tokens=settings.min_tokens,
        length_penalty=settings.length_penalty,
        symbols=symbols,
        stop_symbols=frozenset((symbols.index(END),)),
        until_full=True,
    )


def words_of(hypothesis: Hypothesis, symbols: Sequence[str]) -> tuple[str, ...]:
    """The words of a caption, without its end."""
    words = [symbols[token] for token in hypothesis.tokens.tolist()]
    return tuple(word for word in words if word != END)
