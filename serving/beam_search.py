"""A beam search as the scheduler of rows drives it; the search is ``quartet.beam_search``."""

from collections.abc import Callable

from quartet.beam_search import BeamRules, Beams, BeamSearcher, Hypothesis
from serving.errors import ServingError
from serving.token_scheduler import Drawn, Floats, Ids


class SearchSink:
    """The ``BeamSink`` of one search."""

    def __init__(
        self,
        rules: BeamRules,
        done: Callable[[list[Hypothesis]], None],
        failed: Callable[[ServingError], None],
    ) -> None:
        """Begin a search.

        Args:
            rules: of the search.
            done: takes the ``n`` best texts, or fewer if there are no more, best first.
            failed: takes the error if the search is given up.
        """
        self._search = BeamSearcher(rules)
        self._done = done
        self._failed = failed

    def choose(
        self, top_tokens: Ids, top_log_probabilities: Floats, attention: Floats | None
    ) -> Beams | None:
        """See ``BeamSink.choose``."""
        beams = self._search.choose(top_tokens, top_log_probabilities, attention)
        if beams is None:
            self._done(self._search.results())
        return beams

    def failed(self, error: ServingError) -> None:
        """See ``BeamSink.failed``."""
        self._failed(error)


def drawn_of(hypothesis: Hypothesis) -> Drawn:
    """The symbols of a text that a search found, in the form in which rows give theirs."""
    return Drawn(
        tokens=hypothesis.tokens,
        log_probabilities=hypothesis.log_probabilities,
        top_tokens=hypothesis.top_tokens,
        top_log_probabilities=hypothesis.top_log_probabilities,
        attention=hypothesis.attention,
    )
