"""An engine whose every symbol depends on all that its row has read, and that checks its callers.

A row's state is a hash over the symbols that it has read, so a wrong move, a symbol read twice or a
step too many changes everything that follows. Its constant, ``key``, goes into all that is made of
the state, and never into the state, so that a constant that was lost or swapped shows too, and is
not passed on with a state that is right.
"""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from quartet.philox import uniforms
from serving.generation_types import Sampling
from serving.token_scheduler import (
    BeamSearch,
    BeamSink,
    DecodeRun,
    Drawn,
    Floats,
    Ids,
    Move,
    PrefillRun,
    Row,
    RowState,
    Run,
    RunResult,
)
from serving.types import Array

SYMBOLS = 23
TOP = 5
PLACES = 3
STOPS = frozenset({2, 11})
"""Symbols that are not drawn before a row's ``min_tokens``."""
_MASK = 2**64 - 1
Words = npt.NDArray[np.uint64]


def initial_state(key: int = 0) -> dict[str, Array]:
    """Of a row that has read nothing, and whose constant is ``key``."""
    return {"hash": np.zeros(2, np.uint64), "key": np.array([key], np.uint64)}


def begun_state(state: RowState | None) -> dict[str, Array]:
    """What a row that is to begin with ``state`` begins with. Its constant must be there."""
    if state is None:
        return initial_state()
    assert "key" in state, "a row begins without its constant"
    return {**initial_state(), **state}


def read_symbols(state: RowState, symbols: Sequence[int]) -> dict[str, Array]:
    """The state after ``symbols``."""
    low, count = (int(word) for word in state["hash"])
    for symbol in symbols:
        low, count = _mixed(low ^ (symbol + 1)), count + 1
    return {"hash": np.array([low, count], np.uint64), "key": state["key"]}


def draw(
    state: RowState, uniform: float, sampling: Sampling, *, early: bool = False
) -> tuple[int, float]:
    """A symbol, no stop symbol if ``early``; and a number in the place of its log-probability."""
    number = _mixed(_word(state) ^ hash((float(uniform), sampling)) & _MASK)
    token = number % SYMBOLS
    if early and token in STOPS:
        token += 1
    return token, -(number % 1009) / 64


def candidates(state: RowState, top: int) -> tuple[list[int], list[float]]:
    """The ``top`` likeliest symbols, and their log-probabilities, falling."""
    random = np.random.default_rng(_word(state))
    scores = np.sort(random.random(SYMBOLS))[::-1].astype(np.float32)
    return random.permutation(SYMBOLS)[:top].tolist(), (scores - 2)[:top].tolist()


def scores_after(state: RowState) -> Floats:
    """What prefill reports after a symbol [SYMBOLS]."""
    return np.random.default_rng(_word(state)).random(SYMBOLS, np.float32)


def attention_of(state: RowState) -> Floats:
    """In the drawing of the symbol after what ``state`` has read [PLACES]."""
    return np.random.default_rng([_word(state), 1]).random(PLACES, np.float32)


class HashEngine:
    """A ``StepEngine``. Raises AssertionError where a run breaks the engine's contract."""

    def __init__(
        self, slots: int, *, fault: Callable[[Run], Exception | None] | None = None
    ) -> None:
        """Offer ``slots`` slots, filled with rubbish.

        Args:
            slots: rows of the table.
            fault: gives what a run is to raise after its moves, or None.
        """
        self.slots = slots
        self.top = TOP
        self.places = PLACES
        self.runs: list[Run] = []
        self._fault = fault
        self._states = [
            {"hash": np.array([slot, 77], np.uint64), "key": np.array([slot + 99], np.uint64)}
            for slot in range(slots)
        ]
        self._held: set[int] = set()
        self._lock = threading.Lock()

    def begin(self, run: Run) -> None:
        """Claim what a run touches; moves, which the run may do at any time until it ends."""
        touched = set(run.slots) | {move.slot for move in run.moves}
        touched |= {move.source for move in run.moves if move.source is not None}
        with self._lock:
            self._check(run)
            assert not touched & self._held, "two runs have the same slot"
            self._held |= touched
            self.runs.append(run)

    def end(self, run: Run, *, fail: Exception | None = None, moved: bool = True) -> RunResult:
        """Do a run that was begun, or ``fail``, before or after its moves."""
        try:
            if moved:
                self._move(run.moves)
            error = fail or (self._fault(run) if self._fault is not None else None)
            if error is not None:
                raise error
            return self._prefill(run) if isinstance(run, PrefillRun) else self._decode(run)
        finally:
            with self._lock:
                self._held -= set(run.slots)
                for move in run.moves:
                    self._held -= {move.slot, move.source}

    def execute(self, run: Run) -> RunResult:
        """See ``StepEngine.execute``."""
        self.begin(run)
        return self.end(run)

    def read_state(self, slot: int) -> RowState:
        """See ``StepEngine.read_state``."""
        assert slot not in self._held
        return {name: array.copy() for name, array in self._states[slot].items()}

    def _check(self, run: Run) -> None:
        rows = len(run.slots)
        assert rows > 0
        assert len(set(run.slots)) == rows
        assert set(run.slots) <= set(range(self.slots))
        assert {move.slot for move in run.moves} <= set(run.slots)
        # A failed run is repeated with its moves, whether they were done or not.
        assert not {move.slot for move in run.moves} & {move.source for move in run.moves}
        if isinstance(run, PrefillRun):
            assert run.tokens.dtype == run.lengths.dtype == np.int64
            assert run.tokens.shape == (rows, max(1, run.lengths.max()))
            assert run.lengths.shape == (rows,)
            assert run.lengths.min() >= 0
        else:
            assert run.token.dtype == run.alternatives.dtype == np.int64
            assert run.uniform.dtype == np.float32
            assert run.token.shape == run.alternatives.shape == (rows,) == (len(run.sampling),)
            assert run.uniform.shape[0] == rows
            assert run.uniform.shape[1] >= 1
            assert set(run.snapshots) <= set(range(rows))
            if run.minimum is not None:
                assert run.minimum.dtype == np.int64
                assert run.minimum.shape == (rows,)
                assert 0 <= run.minimum.min() <= run.minimum.max() > 0

    def _move(self, moves: Sequence[Move]) -> None:
        loaded = []
        for move in moves:
            if move.source is None:
                loaded.append(begun_state(move.state))
            elif move.constants:
                loaded.append(self._states[move.source])
            else:
                states = {"hash": self._states[move.source]["hash"]}
                loaded.append({**self._states[move.slot], **states})
        for move, state in zip(moves, loaded, strict=True):
            self._states[move.slot] = {name: array.copy() for name, array in state.items()}

    def _prefill(self, run: PrefillRun) -> RunResult:
        scores = np.full((*run.tokens.shape, SYMBOLS), np.nan, np.float32)
        attention = np.full((*run.tokens.shape, PLACES), np.nan, np.float32)
        for row, slot in enumerate(run.slots):
            for place in range(int(run.lengths[row])):
                state = read_symbols(self._states[slot], [int(run.tokens[row, place])])
                self._states[slot] = state
                scores[row, place] = scores_after(state)
                attention[row, place] = attention_of(state)
        return RunResult(
            log_probabilities=scores if run.score else None,
            attention=attention if run.attention else None,
            seconds=0.001,
        )

    def _decode(self, run: DecodeRun) -> RunResult:
        rows, steps = run.uniform.shape
        tokens = np.zeros((rows, steps), np.int64)
        log_probabilities = np.zeros((rows, steps), np.float32)
        top_tokens = np.zeros((rows, steps, TOP), np.int64)
        top_log_probabilities = np.zeros((rows, steps, TOP), np.float32)
        attention = np.zeros((rows, steps, PLACES), np.float32)
        minimum = [0] * rows if run.minimum is None else run.minimum.tolist()
        snapshots = {row: self._states[run.slots[row]] for row in run.snapshots}
        for row, slot in enumerate(run.slots):
            token = int(run.token[row])
            for step in range(steps):
                state = read_symbols(self._states[slot], [token])
                self._states[slot] = state
                if run.alternatives[row]:
                    top_tokens[row, step], top_log_probabilities[row, step] = candidates(state, TOP)
                token, score = draw(
                    state,
                    float(run.uniform[row, step]),
                    run.sampling[row],
                    early=step < minimum[row],
                )
                tokens[row, step], log_probabilities[row, step] = token, score
                attention[row, step] = attention_of(state)
        return RunResult(
            tokens=tokens,
            log_probabilities=log_probabilities,
            top_tokens=top_tokens,
            top_log_probabilities=top_log_probabilities,
            attention=attention if run.attention else None,
            snapshots=snapshots,
            seconds=0.001,
        )


def write_alone(row: Row) -> Drawn:
    """The symbols of ``row``, ``max_tokens`` of them, without any scheduler."""
    state = read_symbols(begun_state(row.state), row.prompt[:-1])
    numbers = uniforms(
        np.array([row.seed], np.uint64),
        np.array([row.stream]),
        np.array([row.position], np.int64),
        max(1, row.max_tokens),
    )[0]
    token, tokens, scores = row.prompt[-1], [], []
    near, near_scores, attention = [], [], []
    for place, uniform in enumerate(numbers[: row.max_tokens]):
        state = read_symbols(state, [token])
        attention.append(attention_of(state))
        token, score = draw(state, float(uniform), row.sampling, early=place < row.min_tokens)
        tokens.append(token)
        scores.append(score)
        ids, others = candidates(state, TOP)
        near.append(ids[: row.alternatives])
        near_scores.append(others[: row.alternatives])
    shape = (row.max_tokens, row.alternatives)
    return Drawn(
        tokens=np.array(tokens, np.int64),
        log_probabilities=np.array(scores, np.float32),
        top_tokens=np.array(near, np.int64).reshape(shape),
        top_log_probabilities=np.array(near_scores, np.float32).reshape(shape),
        attention=np.array(attention, np.float32).reshape(-1, PLACES) if row.attention else None,
    )


def search_alone(search: BeamSearch, sink: BeamSink) -> None:
    """Make the whole of ``search`` with ``sink`` in the place of its own."""
    states = [read_symbols(begun_state(search.state), search.prompt[:-1])]
    tokens: Sequence[int] = search.prompt[-1:]
    while tokens:
        states = [read_symbols(s, [token]) for s, token in zip(states, tokens, strict=True)]
        near = [candidates(state, search.top) for state in states]
        ids: Ids = np.array([one[0] for one in near], np.int64)
        seen = np.stack([attention_of(state) for state in states]) if search.attention else None
        beams = sink.choose(ids, np.array([one[1] for one in near], np.float32), seen)
        tokens = () if beams is None else beams.tokens
        states = [] if beams is None else [states[parent] for parent in beams.parents]


def _word(state: RowState) -> int:
    """All of a row, its constant too."""
    low, count = (int(word) for word in state["hash"])
    return _mixed(low ^ _mixed(count ^ _mixed(int(state["key"][0]))))


def _mixed(word: int) -> int:
    """A permutation of 64-bit words (splitmix64's output function)."""
    word = (word + 0x9E3779B97F4A7C15) & _MASK
    word = ((word ^ word >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ word >> 27) * 0x94D049BB133111EB) & _MASK
    return word ^ word >> 31
