"""Which words a picture's captions agree on.

Words of captions as labels of pictures: Fang et al. 2015, "From captions to visual concepts and
back", section 3.
"""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from training.data.caption_text import tokenize

FUNCTION_WORDS = frozenset(
    (
        "a",
        "an",
        "the",
        "and",
        "or",
        "of",
        "in",
        "on",
        "at",
        "to",
        "by",
        "with",
        "from",
        "for",
        "into",
        "onto",
        "as",
        "is",
        "are",
        "was",
        "be",
        "been",
        "being",
        "has",
        "have",
        "it",
        "its",
        "his",
        "her",
        "their",
        "he",
        "she",
        "they",
        "them",
        "him",
        "this",
        "that",
        "there",
        "while",
        "who",
        "which",
        "what",
        "where",
        "one",
        "two",
        "three",
        "other",
        "another",
        "some",
        "all",
        "near",
        "next",
        "up",
        "down",
        "out",
        "over",
        "off",
        "through",
        "s",
        "t",
    )
)
"""Words that say little of what a picture shows by themselves."""


def choose_words(captions: Sequence[Sequence[str]], count: int) -> tuple[str, ...]:
    """The ``count`` words that occur in the captions of most pictures, most frequent first."""
    pictures: Counter[str] = Counter()
    for texts in captions:
        pictures.update({word for text in texts for word in tokenize(text)} - FUNCTION_WORDS)
    ranked = sorted(pictures.items(), key=lambda item: (-item[1], item[0]))
    return tuple(word for word, _ in ranked[:count])


def word_targets(captions: Sequence[Sequence[str]], words: Sequence[str], agreement: int) -> Tensor:
    """float32 [pictures, words]: 1 where ``agreement`` captions use the word, less for fewer.

    One caption of the two that it takes is half a label: the word is not wrong, only not agreed on.
    """
    places = {word: place for place, word in enumerate(words)}
    targets = torch.zeros(len(captions), len(words))
    for row, texts in enumerate(captions):
        used = Counter(w for text in texts for w in set(tokenize(text)) if w in places)
        for word, count in used.items():
            targets[row, places[word]] = min(1.0, count / agreement)
    return targets


def average_precisions(scores: Tensor, shown: Tensor) -> Tensor:
    """Area under precision over recall of each word (average precision).

    Args:
        scores: [pictures, words].
        shown: bool [pictures, words].

    Returns:
        float64 [words]; NaN for a word that no picture shows.
    """
    order = scores.argsort(dim=0, descending=True, stable=True)
    hits = shown.gather(0, order).double()
    ranks = torch.arange(1, len(hits) + 1, dtype=torch.float64, device=hits.device).unsqueeze(1)
    precision = hits.cumsum(0) / ranks
    return (precision * hits).sum(0) / hits.sum(0)


def mean_average_precision(scores: Tensor, shown: Tensor) -> float:
    """Mean of ``average_precisions`` over the words that some picture shows."""
    return float(average_precisions(scores, shown).nanmean())
