"""Scores of a prompt that is read in parts."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InferenceFailed, ServingError
from serving.generation_types import Symbol
from serving.prompt_scores import PromptScores
from serving.token_scheduler import Floats

SYMBOLS = ("a", "b", "c")


def run(prompt: list[int], scores: Floats, cuts: list[int], top: int) -> list[Symbol]:
    done: list[tuple[Symbol, ...]] = []
    sink = PromptScores(prompt, SYMBOLS, top, done.append, lambda error: None)
    places = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(scores)), len(scores)]
    for begin, end in pairwise(places):
        assert done == []
        sink.read(scores[begin:end], None)
    (symbols,) = done
    return list(symbols)


@given(
    prompt=st.lists(st.integers(0, 2), min_size=2, max_size=12),
    cuts=st.lists(st.integers(1, 11)),
    top=st.integers(0, 3),
)
def test_each_symbol_is_scored_after_those_before_it(
    prompt: list[int], cuts: list[int], top: int
) -> None:
    scores = np.random.default_rng(0).normal(size=(len(prompt) - 1, 3)).astype(np.float32)
    symbols = run(prompt, scores, cuts, top)
    assert [symbol.text for symbol in symbols] == [SYMBOLS[index] for index in prompt[1:]]
    for place, symbol in enumerate(symbols):
        row = scores[place].tolist()
        assert symbol.log_probability == row[prompt[place + 1]]
        likeliest = sorted(range(3), key=lambda index: -row[index])[:top]
        assert list(symbol.alternatives.items()) == [(SYMBOLS[i], row[i]) for i in likeliest]


def test_equal_scores_are_ordered_by_id() -> None:
    (symbol,) = run([0, 2], np.zeros((1, 3), np.float32), [], 2)
    assert list(symbol.alternatives) == ["a", "b"]


def test_nothing_is_written() -> None:
    sink = PromptScores([0, 1], SYMBOLS, 0, lambda symbols: None, lambda error: None)
    assert sink.accept(None) == 0  # type: ignore[arg-type]  # it is not looked at


def test_failed_tells_whoever_asked() -> None:
    done: list[tuple[Symbol, ...]] = []
    errors: list[ServingError] = []
    error = InferenceFailed("broken")
    PromptScores([0, 1], SYMBOLS, 0, done.append, errors.append).failed(error)
    assert (done, errors) == ([], [error])
