"""Beam search against all texts there are, and against a search written out plainly."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.beam_search import BeamRules, BeamSearcher, Hypothesis
from serving.errors import InferenceFailed, ServingError
from tests.fake_token_scheduler import best_of, scores_after

SYMBOLS = ("a", "b", "c", "$")
END = 3
Scores = Callable[[tuple[int, ...]], list[float]]


@dataclass(frozen=True)
class Complete:
    """One text, found by trying."""

    tokens: tuple[int, ...]
    total: float


def scores_of(seed: int) -> Scores:
    """A model that looks at everything written so far."""
    return lambda history: scores_after((seed, *history), len(SYMBOLS)).tolist()


def rules(**changes: object) -> BeamRules:
    fields: dict[str, object] = {
        "width": 3,
        "n": 2,
        "max_tokens": 4,
        "length_penalty": 1.0,
        "symbols": SYMBOLS,
        "stop_symbols": frozenset({END}),
    }
    return BeamRules(**{**fields, **changes})  # type: ignore[arg-type]  # the tests give what fits


def search(rules: BeamRules, scores: Scores, top: int = len(SYMBOLS)) -> list[Hypothesis]:
    """Run a search to its end."""
    results: list[Hypothesis] = []
    errors: list[ServingError] = []
    searcher = BeamSearcher(rules, results.extend, errors.append)
    beams: list[tuple[int, ...]] = [()]
    while True:
        found = [best_of(np.array(scores(beam), np.float32), top) for beam in beams]
        chosen = searcher.choose(np.stack([f[0] for f in found]), np.stack([f[1] for f in found]))
        if chosen is None:
            assert errors == []
            return results
        assert 1 <= len(chosen.parents) <= rules.width
        beams = [
            (*beams[parent], token)
            for parent, token in zip(chosen.parents, chosen.tokens, strict=True)
        ]


def all_texts(rules: BeamRules, scores: Scores) -> Iterator[Complete]:
    """Every complete text."""
    stack: list[Complete] = [Complete((), 0.0)]
    while stack:
        text = stack.pop()
        for token, score in enumerate(scores(text.tokens)):
            longer = Complete((*text.tokens, token), text.total + score)
            if is_complete(rules, longer.tokens):
                yield longer
            else:
                stack.append(longer)


def is_complete(rules: BeamRules, tokens: tuple[int, ...]) -> bool:
    text = "".join(SYMBOLS[token] for token in tokens)
    return (
        len(tokens) == rules.max_tokens
        or tokens[-1] in rules.stop_symbols
        or any(stop in text for stop in rules.stop)
    )


def plain_search(rules: BeamRules, scores: Scores) -> list[Complete]:
    """Beam search to the last step, without any shortcut."""
    live, complete = [Complete((), 0.0)], []
    while live:
        extensions = [
            Complete((*beam.tokens, token), beam.total + score)
            for beam in live
            for token, score in enumerate(scores(beam.tokens))
        ]
        extensions.sort(key=lambda one: -one.total)
        live = []
        for one in extensions:
            if is_complete(rules, one.tokens):
                complete.append(one)
            else:
                live.append(one)
                if len(live) == rules.width:
                    break
    return best(rules, complete)


def best(rules: BeamRules, texts: list[Complete]) -> list[Complete]:
    def score(one: Complete) -> float:
        return float(one.total / len(one.tokens) ** rules.length_penalty)

    return sorted(texts, key=score, reverse=True)[: rules.n]


def tokens_of(found: list[Hypothesis]) -> list[tuple[int, ...]]:
    return [tuple(one.drawn.tokens.tolist()) for one in found]


PENALTIES = st.sampled_from([0.0, 0.6, 1.0, 2.0, -1.0])
STOPS = st.sampled_from([(), ("ab",), ("b", "ca")])


@given(seed=st.integers(0, 10**6), length_penalty=PENALTIES, stop=STOPS, n=st.integers(1, 5))
def test_a_search_wide_enough_finds_the_best_of_all_texts(
    seed: int, length_penalty: float, stop: tuple[str, ...], n: int
) -> None:
    wide = rules(width=64, n=n, length_penalty=length_penalty, stop=stop)
    expected = best(wide, list(all_texts(wide, scores_of(seed))))
    found = search(wide, scores_of(seed))
    assert tokens_of(found) == [one.tokens for one in expected]
    # Sums of a few float32 numbers, which the search adds in float64.
    assert [one.log_probability for one in found] == pytest.approx([e.total for e in expected])


@given(
    seed=st.integers(0, 10**6),
    length_penalty=PENALTIES,
    stop=STOPS,
    width=st.integers(1, 4),
    data=st.data(),
)
def test_a_narrow_search_finds_what_beam_search_finds(
    seed: int, length_penalty: float, stop: tuple[str, ...], width: int, data: st.DataObject
) -> None:
    narrow = rules(
        width=width,
        n=data.draw(st.integers(1, width)),
        max_tokens=6,
        length_penalty=length_penalty,
        stop=stop,
    )
    expected = plain_search(narrow, scores_of(seed))
    assert tokens_of(search(narrow, scores_of(seed))) == [one.tokens for one in expected]


def test_a_search_of_width_one_without_end_takes_the_likeliest_symbols() -> None:
    scores = scores_of(3)
    (found,) = search(rules(width=1, n=1, stop_symbols=frozenset(), max_tokens=12), scores)
    history: tuple[int, ...] = ()
    for token in found.drawn.tokens.tolist():
        assert token == int(np.argmax(scores(history)))
        history = (*history, token)
    assert len(history) == 12


def test_hypotheses_tell_scores_and_alternatives_of_each_symbol() -> None:
    scores = scores_of(5)
    found = search(rules(width=4, n=4, alternatives=True), scores)
    for one in found:
        history: tuple[int, ...] = ()
        for place, token in enumerate(one.drawn.tokens.tolist()):
            expected = best_of(np.array(scores(history), np.float32), len(SYMBOLS))
            assert one.drawn.top_tokens[place].tolist() == expected[0].tolist()
            assert one.drawn.top_log_probabilities[place].tolist() == expected[1].tolist()
            # A difference of sums in float64, rounded to float32 once.
            assert one.drawn.log_probabilities[place] == pytest.approx(
                scores(history)[token], rel=1e-5
            )
            history = (*history, token)
        assert one.score == pytest.approx(one.log_probability / len(history))


def test_alternatives_that_nobody_wants_are_not_kept() -> None:
    (best, *_) = search(rules(width=4, n=4), scores_of(5))
    steps = len(best.drawn.tokens)
    assert best.drawn.top_tokens.shape == best.drawn.top_log_probabilities.shape == (steps, 0)


def test_a_search_ends_as_soon_as_nothing_better_can_come() -> None:
    steps: list[int] = []

    def scores(history: tuple[int, ...]) -> list[float]:
        steps.append(len(history))
        return [-9.0, -9.5, -9.7, -0.01]

    search(rules(width=2, n=1, max_tokens=50, length_penalty=0.0), scores)
    assert max(steps) == 0


def test_there_may_be_fewer_texts_than_wanted() -> None:
    found = search(rules(width=4, n=4, max_tokens=1), scores_of(1), top=2)
    assert len(found) == 2


def test_failed_tells_whoever_asked() -> None:
    errors: list[ServingError] = []
    error = InferenceFailed("broken")
    BeamSearcher(rules(), lambda found: None, errors.append).failed(error)
    assert errors == [error]
