"""How varied captions are, and how many of them are copied."""

from collections import Counter
from collections.abc import Collection, Sequence

from training.caption.references import Words
from training.evaluation.spec import Figures


def measure_diversity(captions: Sequence[Words], train: Collection[tuple[str, ...]]) -> Figures:
    """Figures of one or more captions, one of each picture.

    Args:
        captions: as words.
        train: the distinct training captions, as words.

    Returns:
        For JSON: ``captions``, how many; ``distinct``, how many different ones; ``new``, the share
        of captions that are no training caption word for word; ``vocabulary``, how many different
        words; ``words``, mean number in a caption; ``most_frequent`` with ``caption`` and
        ``count``, of equally frequent ones the first.

    Raises:
        ValueError: no captions.
    """
    if not captions:
        raise ValueError("captions: expected one or more, got none")
    counts = Counter(tuple(words) for words in captions)
    caption, count = counts.most_common(1)[0]
    total = len(captions)
    return {
        "captions": total,
        "distinct": len(counts),
        "new": sum(n for words, n in counts.items() if words not in train) / total,
        "vocabulary": len({word for words in counts for word in words}),
        "words": sum(map(len, captions)) / total,
        "most_frequent": {"caption": " ".join(caption), "count": count},
    }
