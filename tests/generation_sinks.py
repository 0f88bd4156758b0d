"""Sinks that remember what they are told, and object to what they should not be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from quartet.beam_search import Beams
from serving.errors import ServingError
from serving.token_scheduler import Drawn, Floats, Ids, RowState
from tests.step_engines import TOP


@dataclass(eq=False, slots=True)
class RecordingSink:
    """A ``RowSink`` that ends the text after ``limit`` symbols or at a stop symbol.

    Attributes:
        limit: symbols, or None: it never ends the text by length.
        stop: symbol that ends the text.
        stop_counts: whether that symbol belongs to the text.
        keeps_state: whether ``settled`` is to come.
        on_accept: called at each ``accept``, after its symbols were recorded.
    """

    limit: int | None = None
    stop: int | None = None
    stop_counts: bool = True
    keeps_state: bool = False
    on_accept: Callable[[], None] | None = None
    deaf: bool = False
    """It was cancelled."""
    tokens: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    near: list[list[int]] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    """Symbols of each run that belong to the text."""
    prompt_scores: list[Floats] = field(default_factory=list)
    prompt_attention: list[Floats | None] = field(default_factory=list)
    attention: list[list[float]] = field(default_factory=list)
    """Of each symbol, where it came."""
    ended: bool = False
    state: RowState | None = None
    last: int | None = None
    """``token`` of ``settled``."""
    error: ServingError | None = None

    @property
    def over(self) -> bool:
        """Whether nothing may follow."""
        return self.error is not None or (
            self.ended and (self.state is not None or not self.keeps_state)
        )

    def read(self, log_probabilities: Floats, attention: Floats | None) -> None:
        """See ``RowSink.read``."""
        assert not self.deaf
        assert not self.over
        self.prompt_scores.append(log_probabilities.copy())
        self.prompt_attention.append(None if attention is None else attention.copy())

    def accept(self, drawn: Drawn) -> int | None:
        """See ``RowSink.accept``."""
        assert not self.deaf
        assert not self.ended
        assert self.error is None
        tokens = drawn.tokens.tolist()
        taken = self.taken_of(len(self.tokens), tokens)
        count = len(tokens) if taken is None else taken
        self.tokens += tokens[:count]
        self.scores += drawn.log_probabilities[:count].tolist()
        self.near += drawn.top_tokens[:count].tolist()
        if drawn.attention is not None:
            assert len(drawn.attention) == len(tokens)
            self.attention += drawn.attention[:count].tolist()
        self.pieces.append(count)
        self.ended = taken is not None
        if self.on_accept is not None:
            self.on_accept()
        return taken

    def taken_of(self, written: int, tokens: Sequence[int]) -> int | None:
        """How many of ``tokens`` belong to the text if they end it."""
        for place, token in enumerate(tokens):
            if self.limit is not None and written + place == self.limit:
                return place
            if token == self.stop:
                return place + self.stop_counts
        if self.limit is not None and written + len(tokens) >= self.limit:
            return len(tokens)
        return None

    def settled(self, state: RowState, token: int) -> None:
        """See ``RowSink.settled``."""
        assert not self.deaf
        assert self.keeps_state
        assert self.ended
        assert not self.over
        self.state, self.last = state, token

    def failed(self, error: ServingError) -> None:
        """See ``RowSink.failed``."""
        assert not self.deaf
        assert not self.over
        self.error = error


@dataclass(eq=False, slots=True)
class RecordingSearch:
    """A ``BeamSink`` that chooses beams by what it is shown, in every way that is allowed."""

    width: int
    steps: int
    """After which it is over."""
    deaf: bool = False
    shown: list[tuple[list[list[int]], list[list[float]], list[list[float]] | None]] = field(
        default_factory=list
    )
    """Candidates, their log-probabilities, and the attention."""
    over: bool = False
    error: ServingError | None = None

    def choose(
        self, top_tokens: Ids, top_log_probabilities: Floats, attention: Floats | None
    ) -> Beams | None:
        """See ``BeamSink.choose``."""
        assert not self.deaf
        assert not self.over
        seen = None if attention is None else attention.tolist()
        self.shown.append((top_tokens.tolist(), top_log_probabilities.tolist(), seen))
        if len(self.shown) == self.steps:
            self.over = True
            return None
        live, top = top_tokens.shape
        random = np.random.default_rng([len(self.shown), *top_tokens[:, 0].tolist()])
        count = int(random.integers(1, self.width + 1))
        parents = random.integers(0, live, count).tolist()
        columns = random.integers(0, min(top, TOP), count).tolist()
        return Beams(
            tuple(parents),
            tuple(int(top_tokens[p, c]) for p, c in zip(parents, columns, strict=True)),
        )

    def failed(self, error: ServingError) -> None:
        """See ``BeamSink.failed``."""
        assert not self.deaf
        assert not self.over
        self.error, self.over = error, True
