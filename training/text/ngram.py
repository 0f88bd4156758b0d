"""The baseline of the language models: an interpolated n-gram model of characters.

Modified Kneser-Ney smoothing in its interpolated form (Chen, Goodman 1998, "An empirical study of
smoothing techniques for language modeling", section 3, after Kneser, Ney 1995). With c(h s) the
count of symbol s after the history h of n - 1 symbols,

    p_n(s | h) = (c(h s) - D(c(h s))) / c(h) + g(h) p_(n-1)(s | h without its first symbol)

where the discount D is D_1, D_2 or D_3 for counts of 1, 2 and more, g(h) is the mass that the
discounts took from h, and p_0 is uniform over the vocabulary. Below the highest order a count is
either how often h s occurs (absolute discounting) or how many different symbols precede it
(Kneser-Ney). The discounts of each order and that choice minimise the loss on the end of the
training split under counts of the rest of it; then all of the training split is counted.

Takes seconds and some 200 bytes of memory for each character of a text of a million.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

ORDER = 6
"""Of the baseline: the symbol and the five before it."""
TUNING_SHARE = 0.05
"""Share of the training split, its end, on which the discounts are tuned."""
_LIMITS = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
"""A discount lies between 0 and the smallest count that it is taken from."""
_STEPS = 100
_PULL = 1e-5
"""Of each discount towards the middle, nats: those on which the tuning text says nothing would run
to a limit, and one rare symbol of another text would then cost much."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OrderCounts:
    """What order n of the model asks for at each predicted symbol; zeros after new histories."""

    count: Tensor
    """c(h s), float64 [N]."""
    total: Tensor
    """c(h) [N]."""
    kinds: Tensor
    """How many symbols follow h once, twice, and more often [N, 3]."""


@dataclass(frozen=True, slots=True)
class NgramSettings:
    """What is tuned."""

    continuation: bool
    """Kneser-Ney's counts below the highest order; else plain ones."""
    discounts: Tensor
    """D_1, D_2, D_3 of each order, lowest first, float64 [orders, 3]."""


def ngram_loss(train: Ids, text: Ids, symbols: int, settings: NgramSettings) -> float:
    """Mean of -ln p(symbol | those before it), nats, over every symbol of ``text`` but the first.

    Args:
        train: counted; indices [characters].
        text: predicted; indices [characters], at least two. Histories do not reach beyond it.
        symbols: size of the vocabulary.
        settings: from ``tune``; as many orders as it has discounts for.
    """
    orders = len(settings.discounts)
    counts = count_grams(train, text, orders, continuation=settings.continuation)
    return float(_loss(counts, settings.discounts, symbols))


def tune(train: Ids, symbols: int, order: int = ORDER) -> NgramSettings:
    """Discounts and kind of counts for the training split ``train``."""
    border = len(train) - max(2, int(len(train) * TUNING_SHARE))
    counted, predicted = train[:border], train[border:]
    tried = []
    for continuation in (False, True):
        counts = count_grams(counted, predicted, order, continuation=continuation)
        loss, discounts = _fit_discounts(counts, symbols)
        tried.append((loss, NgramSettings(continuation, discounts)))
    return min(tried, key=lambda pair: pair[0])[1]


def count_grams(
    train: Ids, text: Ids, orders: int, *, continuation: bool
) -> tuple[OrderCounts, ...]:
    """Counts in ``train`` for every symbol of ``text`` but the first, lowest order first.

    Grams are numbered order by order: the number of n symbols is the rank of the pair (number of
    the first n - 1, last symbol), so numbers stay small whatever the vocabulary.
    """
    base = int(max(train.max(), text.max())) + 2
    # A symbol that is in no training text keeps the histories of ``text`` apart from ``train``.
    whole = np.concatenate([train, np.full(orders, base - 1), text])
    predicted = slice(len(train) + orders + 1, None)
    numbers = [np.zeros(len(whole) + 1, np.int64)]
    for _ in range(orders + 1):
        # numbers[n][t + 1] is that of the n symbols up to place t; the first n - 1 are no grams.
        pairs = numbers[-1][:-1] * base + whole
        ranks = np.unique(pairs, return_inverse=True)[1]
        numbers.append(np.concatenate([[0], ranks]))
    return tuple(
        _count_order(numbers, n, len(train), predicted, continuation=continuation and n < orders)
        for n in range(1, orders + 1)
    )


def _count_order(
    numbers: list[Ids], n: int, characters: int, predicted: slice, *, continuation: bool
) -> OrderCounts:
    """Counts of order ``n`` in the first ``characters`` places."""
    grams, histories = numbers[n][1:], numbers[n - 1][:-1]
    seen = grams[n - 1 : characters]
    size = int(grams.max()) + 1
    if continuation:
        longer = numbers[n + 1][1:][n:characters]
        place = np.full(int(numbers[n + 1].max()) + 1, -1)
        place[longer] = np.arange(n, characters)
        count = np.bincount(grams[place[place >= 0]], minlength=size)
    else:
        count = np.bincount(seen, minlength=size)
    history = np.zeros(size, np.int64)
    history[seen] = histories[n - 1 : characters]
    size = int(histories.max()) + 1
    total = np.bincount(history, weights=count, minlength=size)
    masks = (count == 1, count == 2, count > 2)
    kinds = np.stack([np.bincount(history[mask], minlength=size) for mask in masks], axis=1)
    after = histories[predicted]
    return OrderCounts(
        count=torch.from_numpy(count[grams[predicted]].astype(np.float64)),
        total=torch.from_numpy(total[after]),
        kinds=torch.from_numpy(kinds[after].astype(np.float64)),
    )


def _loss(counts: tuple[OrderCounts, ...], discounts: Tensor, symbols: int) -> Tensor:
    """Mean of -ln p, nats; ``discounts`` [orders, 3]."""
    p = torch.full_like(counts[0].count, 1 / symbols)
    for order, discount in zip(counts, discounts, strict=True):
        taken = torch.cat([discount.new_zeros(1), discount])[order.count.clamp(max=3).long()]
        mixed = (order.count - taken + (order.kinds @ discount) * p) / order.total.clamp(min=1)
        p = torch.where(order.total > 0, mixed, p)
    return -p.log().mean()


def _fit_discounts(counts: tuple[OrderCounts, ...], symbols: int) -> tuple[float, Tensor]:
    """The least loss found, and the discounts that give it."""
    free = torch.zeros(len(counts), 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _loss(counts, free.sigmoid() * _LIMITS, symbols)
        loss = loss + _PULL * free.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    discounts = free.detach().sigmoid() * _LIMITS
    return float(_loss(counts, discounts, symbols)), discounts
