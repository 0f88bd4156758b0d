"""Beam search against all texts there are, and against a search written out plainly."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.beam_search import BeamRules, BeamSearcher, Floats, Hypothesis, Ids

SYMBOLS = ("a", "b", "c", "$")
END = 3
Scores = Callable[[tuple[int, ...]], list[float]]


@dataclass(frozen=True)
class Complete:
    """One text, found by trying."""

    tokens: tuple[int, ...]
    total: float


def scores_after(history: Sequence[int]) -> Floats:
    """Log-probabilities of the symbol after ``history`` [symbols]."""
    scores = np.random.default_rng([*history]).normal(scale=2.0, size=len(SYMBOLS))
    return np.asarray(scores - np.log(np.exp(scores).sum()), np.float32)


def attention_after(history: Sequence[int]) -> Floats:
    """[places], another for every history."""
    return np.array([len(history), *history[-2:], 0, 0][:3], np.float32)


def best_of(scores: Sequence[float], top: int) -> tuple[Ids, Floats]:
    """Likeliest first, ties by id."""
    array = np.array(scores, np.float32)
    order = np.argsort(-array, kind="stable")[:top]
    return order, array[order]


def scores_of(seed: int) -> Scores:
    """A model that looks at everything written so far."""
    return lambda history: scores_after((seed, *history)).tolist()


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
    searcher = BeamSearcher(rules)
    beams: list[tuple[int, ...]] = [()]
    while True:
        found = [best_of(scores(beam), top) for beam in beams]
        chosen = searcher.choose(
            np.stack([one[0] for one in found]),
            np.stack([one[1] for one in found]),
            np.stack([attention_after(beam) for beam in beams]),
        )
        if chosen is None:
            return searcher.results()
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
        for longer in extensions(rules, text, scores):
            if is_complete(rules, longer.tokens):
                yield longer
            else:
                stack.append(longer)


def extensions(rules: BeamRules, text: Complete, scores: Scores) -> Iterator[Complete]:
    """``text`` longer by each symbol that may follow."""
    for token, score in enumerate(scores(text.tokens)):
        if token not in rules.stop_symbols or len(text.tokens) >= rules.min_tokens:
            yield Complete((*text.tokens, token), text.total + score)


def is_complete(rules: BeamRules, tokens: tuple[int, ...]) -> bool:
    text = "".join(SYMBOLS[token] for token in tokens)
    return (
        len(tokens) == rules.max_tokens
        or tokens[-1] in rules.stop_symbols
        or any(stop in text for stop in rules.stop)
    )


def plain_search(rules: BeamRules, scores: Scores) -> list[Complete]:
    """Beam search to the last step, or until it is full, without any other shortcut."""
    live, complete = [Complete((), 0.0)], list[Complete]()
    while live and not (rules.until_full and len(complete) >= rules.width):
        longer = [one for beam in live for one in extensions(rules, beam, scores)]
        longer.sort(key=lambda one: -one.total)
        live = []
        for one in longer:
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
    return [tuple(one.tokens.tolist()) for one in found]


PENALTIES = st.sampled_from([0.0, 0.6, 1.0, 2.0, -1.0])
MINIMA = st.sampled_from([0, 0, 1, 3])
STOPS = st.sampled_from([(), ("ab",), ("b", "ca")])


@settings(deadline=None)
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


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6),
    length_penalty=PENALTIES,
    stop=STOPS,
    width=st.integers(1, 4),
    min_tokens=MINIMA,
    until_full=st.booleans(),
    data=st.data(),
)
def test_a_narrow_search_finds_what_beam_search_finds(
    seed: int,
    length_penalty: float,
    stop: tuple[str, ...],
    width: int,
    min_tokens: int,
    until_full: bool,
    data: st.DataObject,
) -> None:
    narrow = rules(
        width=width,
        n=data.draw(st.integers(1, width)),
        max_tokens=6,
        min_tokens=min_tokens,
        length_penalty=length_penalty,
        stop=stop,
        until_full=until_full,
    )
    expected = plain_search(narrow, scores_of(seed))
    assert tokens_of(search(narrow, scores_of(seed))) == [one.tokens for one in expected]


def test_a_search_of_width_one_without_end_takes_the_likeliest_symbols() -> None:
    scores = scores_of(3)
    (found,) = search(rules(width=1, n=1, stop_symbols=frozenset(), max_tokens=12), scores)
    history: tuple[int, ...] = ()
    for token in found.tokens.tolist():
        assert token == int(np.argmax(scores(history)))
        history = (*history, token)
    assert len(history) == 12


def test_hypotheses_tell_scores_and_alternatives_of_each_symbol() -> None:
    scores = scores_of(5)
    found = search(rules(width=4, n=4, alternatives=True), scores)
    for one in found:
        history: tuple[int, ...] = ()
        for place, token in enumerate(one.tokens.tolist()):
            expected = best_of(scores(history), len(SYMBOLS))
            assert one.top_tokens[place].tolist() == expected[0].tolist()
            assert one.top_log_probabilities[place].tolist() == expected[1].tolist()
            # A difference of sums in float64, rounded to float32 once.
            assert one.log_probabilities[place] == pytest.approx(scores(history)[token], rel=1e-5)
            history = (*history, token)
        assert one.score == pytest.approx(one.log_probability / len(history))


def test_hypotheses_tell_the_attention_in_the_drawing_of_each_symbol() -> None:
    for one in search(rules(width=4, n=4), scores_of(5)):
        tokens = one.tokens.tolist()
        expected = [attention_after(tokens[:place]) for place in range(len(tokens))]
        assert one.attention is not None
        np.testing.assert_array_equal(one.attention, np.stack(expected))


def test_steps_without_attention_leave_none() -> None:
    searcher = BeamSearcher(rules(max_tokens=1))
    tokens, scores = best_of(scores_of(1)(()), 2)
    assert searcher.choose(tokens[None], scores[None]) is None
    assert [one.attention for one in searcher.results()] == [None, None]


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), length_penalty=PENALTIES, min_tokens=MINIMA)
def test_a_search_of_width_one_until_full_takes_the_likeliest_symbols(
    seed: int, length_penalty: float, min_tokens: int
) -> None:
    narrow = rules(
        width=1,
        n=1,
        max_tokens=9,
        min_tokens=min_tokens,
        length_penalty=length_penalty,
        until_full=True,
    )
    history: tuple[int, ...] = ()
    while len(history) < 9 and END not in history:
        scores = scores_of(seed)(history)
        if len(history) < min_tokens:
            scores[END] = -np.inf
        history = (*history, int(np.argmax(scores)))
    assert tokens_of(search(narrow, scores_of(seed))) == [history]


def test_a_search_until_full_looks_no_further_than_its_width() -> None:
    steps: list[int] = []

    def scores(history: tuple[int, ...]) -> list[float]:
        steps.append(len(history))
        return [-1.0, -2.0, -2.5, -1.5]

    def longest(**changes: object) -> int:
        steps.clear()
        search(rules(width=2, n=1, max_tokens=8, length_penalty=2.0, **changes), scores)
        return max(steps)

    # A longer text might be better, since length counts for so much.
    assert longest(until_full=False) == 7
    assert longest(until_full=True) == 1


def test_no_stop_symbol_is_taken_before_the_minimum() -> None:
    asked = rules(width=3, n=3, max_tokens=6, min_tokens=4, length_penalty=0.0)
    found = search(asked, lambda _: [-4.0, -5.0, -6.0, 0.0])
    assert [len(one.tokens) for one in found] == [5, 5, 5]
    assert all(END not in one.tokens[:-1] for one in found)


def test_alternatives_that_nobody_wants_are_not_kept() -> None:
    (best, *_) = search(rules(width=4, n=4), scores_of(5))
    steps = len(best.tokens)
    assert best.top_tokens.shape == best.top_log_probabilities.shape == (steps, 0)


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
