"""Captions borrowed from the training pictures that look most alike.

Source: Devlin et al. 2015, "Exploring Nearest Neighbor Approaches for Image Captioning": of all
captions of the nearest neighbours, the one most like the others. Pictures are compared by the
cosine of the encoder's mean features about the training pictures' mean, captions by that of their
words and word pairs weighted by inverse document frequency. A captioner that does no better has
learnt nothing of language that its encoder and its training captions did not already give.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.caption.ngrams import Ngram, count_ngrams
from training.caption.references import References, Words

NEIGHBOURS = 30
"""Training pictures whose captions are considered."""


def nearest_captions(
    features: Tensor, train_features: Tensor, train: References, neighbours: int = NEIGHBOURS
) -> list[Words]:
    """One training caption for each of N pictures.

    Args:
        features: [N, C], mean features of the pictures.
        train_features: [M, C], those of the training pictures.
        train: captions of each of the M training pictures.
        neighbours: training pictures considered; all of them if there are fewer.
    """
    mean = train_features.mean(0)
    unit, train_unit = (
        functional.normalize(rows - mean, dim=1) for rows in (features, train_features)
    )
    count = min(neighbours, len(train))
    nearest = torch.topk(unit @ train_unit.T, count, dim=1).indices.tolist()
    rarity = _rarity(train)
    pools = ([caption for row in rows for caption in train[row]] for rows in nearest)
    return [_most_typical(pool, rarity) for pool in pools]


def _rarity(train: References) -> dict[Ngram, float]:
    """Inverse document frequency of every word and word pair; a document is a picture."""
    documents = Counter[Ngram]()
    for captions in train:
        documents.update({ngram for words in captions for ngram in _ngrams(words)})
    return {ngram: math.log(len(train) / count) for ngram, count in documents.items()}


def _ngrams(words: Words) -> "Counter[Ngram]":
    ones, twos, *_ = count_ngrams(words)
    return ones + twos


def _most_typical(pool: Sequence[Words], rarity: dict[Ngram, float]) -> Words:
    """The caption with the greatest mean cosine to all of ``pool``; the first of equal ones."""
    counted = [_ngrams(words) for words in pool]
    places = {
        ngram: place for place, ngram in enumerate(dict.fromkeys(n for c in counted for n in c))
    }
    vectors = np.zeros((len(pool), len(places)))
    for row, counts in enumerate(counted):
        for ngram, count in counts.items():
            vectors[row, places[ngram]] = count * rarity[ngram]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(norms, norms, 1.0)
    return pool[int(np.argmax(vectors @ vectors.sum(axis=0)))]
