"""A search between the scheduler of rows and whoever asked for it."""

import numpy as np

from quartet.beam_search import BeamRules, Hypothesis
from serving.beam_search import SearchSink, drawn_of
from serving.errors import InferenceFailed, ServingError

RULES = BeamRules(width=2, n=2, max_tokens=2, length_penalty=0.0, symbols=("a", "b", "c"))
TOKENS = np.array([[2, 0]])
SCORES = np.array([[-0.5, -1.0]], np.float32)
PLACES = np.array([[0.25, 0.75]], np.float32)


def search(found: list[Hypothesis], errors: list[ServingError]) -> SearchSink:
    return SearchSink(RULES, found.extend, errors.append)


def test_choose_tells_how_the_beams_go_on_and_then_what_was_found() -> None:
    found: list[Hypothesis] = []
    sink = search(found, [])
    beams = sink.choose(TOKENS, SCORES, None)
    assert beams is not None
    assert (beams.parents, beams.tokens) == ((0, 0), (2, 0))
    assert found == []
    assert sink.choose(np.tile(TOKENS, (2, 1)), np.tile(SCORES, (2, 1)), None) is None
    assert [one.tokens.tolist() for one in found] == [[2, 2], [2, 0]]


def test_failed_tells_whoever_asked() -> None:
    found: list[Hypothesis] = []
    errors: list[ServingError] = []
    error = InferenceFailed("broken")
    search(found, errors).failed(error)
    assert (found, errors) == ([], [error])


def test_drawn_of_a_text_holds_what_was_seen_in_the_drawing_of_each_symbol() -> None:
    found: list[Hypothesis] = []
    sink = search(found, [])
    sink.choose(TOKENS, SCORES, PLACES)
    sink.choose(np.tile(TOKENS, (2, 1)), np.tile(SCORES, (2, 1)), np.concatenate([PLACES, -PLACES]))
    drawn = drawn_of(found[0])
    assert drawn.tokens.tolist() == [2, 2]
    assert drawn.log_probabilities.tolist() == [-0.5, -0.5]
    assert drawn.top_tokens.shape == drawn.top_log_probabilities.shape == (2, 0)
    assert drawn.attention is not None
    np.testing.assert_array_equal(drawn.attention, np.concatenate([PLACES, PLACES]))
