"""ROUGE-L of captions.

Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), section 3, taken as
the COCO caption evaluation does (Chen et al., "Microsoft COCO Captions", 2015): beta is 1.2, and
the best precision and the best recall over a picture's references may come from different ones.
"""

from collections.abc import Sequence

from training.caption.references import References, Words, check_candidates, check_references

BETA = 1.2
"""Weight of recall against precision."""


def rouge_l(candidates: Sequence[Words], references: References) -> float:
    """Mean ROUGE-L over the pictures, 0 to 1.

    Args:
        candidates: one caption of each of N pictures.
        references: one or more captions of each of the same N pictures.

    Raises:
        ValueError: no picture, one without references, or N differs.
    """
    check_references(references)
    check_candidates(candidates, len(references))
    scores = map(_score, candidates, references)
    return sum(scores) / len(candidates)


def _score(words: Words, captions: Sequence[Words]) -> float:
    common = [_longest_common_subsequence(words, caption) for caption in captions]
    if not any(common):
        return 0.0
    precision = max(common) / len(words)
    recall = max(c / len(r) for c, r in zip(common, captions, strict=True) if r)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _longest_common_subsequence(first: Words, second: Words) -> int:
    """Length of the longest run of words that both hold in the same order, gaps allowed."""
    row = [0] * (len(second) + 1)
    for word in first:
        above_left = 0
        for place, other in enumerate(second, start=1):
            above = row[place]
            row[place] = above_left + 1 if word == other else max(above, row[place - 1])
            above_left = above
    return row[-1]
