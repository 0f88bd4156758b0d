"""Drawing the next symbol inside the graph.

Everything here works row by row. A branch that a neighbour's settings force leaves the other rows'
bits as they are: without penalties z' is z, and without a restriction the threshold is below every
probability.

Symbols that may not be drawn have a score of -inf from the start.

The restriction is a threshold on the probability, so ties at its edge are kept: the k-th largest
probability (Fan et al. 2018), or that at which the sum of the larger ones reaches p (Holtzman et
al. 2020), whichever is higher; both are taken from the unrestricted distribution.

uniform < 1 has at most 23 bits, so ``uniform * total < total`` in float32 too: some symbol is
always drawn, and never one of probability 0.
"""

from dataclasses import dataclass

import numpy as np

from quartet.generation import (
    ALTERNATIVES,
    FREQUENCY_PENALTY,
    MINIMUM,
    PRESENCE_PENALTY,
    REPETITION_PENALTY,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    UNIFORM,
)
from training.graphs.builder import BOOL, FLOAT, INT64, GraphBuilder, Value
from training.graphs.network import BATCH
from training.graphs.rules import SymbolRules

CONTROLS = (
    Value(TEMPERATURE, FLOAT, (BATCH,)),
    Value(TOP_K, INT64, (BATCH,)),
    Value(TOP_P, FLOAT, (BATCH,)),
    Value(REPETITION_PENALTY, FLOAT, (BATCH,)),
    Value(PRESENCE_PENALTY, FLOAT, (BATCH,)),
    Value(FREQUENCY_PENALTY, FLOAT, (BATCH,)),
    Value(ALTERNATIVES, INT64, (BATCH,)),
)
"""Inputs of every decode graph that say how each row is drawn."""

MIN_TEMPERATURE = 1e-6
"""Smaller ones, but 0, count as this: scores divided by it are still finite."""
WIDE = 512
"""From so many symbols on, rows that take the likeliest are not made to sort them all."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A step's outcome."""

    token: str
    """int64 [batch]."""
    counts: str
    """[batch, symbols]; kept up only while some row has penalties."""


def controls(rules: SymbolRules) -> tuple[Value, ...]:
    """Inputs of the decode graph that say how each row is drawn."""
    return (*CONTROLS, Value(MINIMUM, INT64, (BATCH,))) if rules.stop else CONTROLS


class Sampler:
    """Prepares the controls in ``graph``, once a run; ``draw`` uses them in the loop's body.

    Args:
        graph: has the inputs ``controls(rules)``.
        symbols: length of the vocabulary.
        rules: which of them may be drawn.
    """

    def __init__(self, graph: GraphBuilder, symbols: int, rules: SymbolRules) -> None:
        self._symbols, self._rules = symbols, rules
        self._is_wide = symbols >= WIDE
        one, zero = graph.floats(1.0), graph.floats(0.0)

        def column(name: str) -> str:
            return graph.op("Unsqueeze", name, graph.constant([1]))

        self._repetition = column(REPETITION_PENALTY)
        self._presence = column(PRESENCE_PENALTY)
        self._frequency = column(FREQUENCY_PENALTY)
        self._penalised = any_of(
            graph,
            _differs(graph, REPETITION_PENALTY, one),
            _differs(graph, PRESENCE_PENALTY, zero),
            _differs(graph, FREQUENCY_PENALTY, zero),
        )
        temperature = column(TEMPERATURE)
        self._greedy = graph.op("Equal", temperature, zero)
        floor = graph.floats(MIN_TEMPERATURE)
        self._temperature = graph.op(
            "Where", self._greedy, one, graph.op("Max", temperature, floor)
        )
        top_k = column(TOP_K)
        last = graph.constant(symbols - 1)
        unlimited = graph.op("LessOrEqual", top_k, graph.constant(0))
        nth = graph.op("Min", graph.op("Sub", top_k, graph.constant(1)), last)
        self._nth = graph.op("Where", unlimited, last, nth)
        top_p = column(TOP_P)
        whole = graph.op("GreaterOrEqual", top_p, one)
        # No sum of probabilities reaches 2, rounding included.
        self._mass = graph.op("Where", whole, graph.floats(2.0), top_p)
        conditions = [graph.op("Not", unlimited), graph.op("Not", whole)]
        if self._is_wide:
            self._any_greedy = any_of(graph, self._greedy)
            self._restricted = any_of(graph, *conditions)
            others = graph.op("Or", self._any_greedy, self._penalised)
        else:
            self._restricted = any_of(graph, self._greedy, *conditions)
            others = self._penalised
        self._special = graph.op("Or", others, self._restricted)

    def early_steps(self, graph: GraphBuilder) -> str:
        """Of each step whether it is one of a row's first: bool [steps, batch, 1]."""
        steps = graph.op("Gather", graph.op("Shape", UNIFORM), graph.constant(1))
        places = graph.op("Range", graph.constant(0), steps, graph.constant(1))
        places = graph.op("Unsqueeze", places, graph.constant([1, 2]))
        return graph.op("Less", places, graph.op("Unsqueeze", MINIMUM, graph.constant([1])))

    def allow(self, graph: GraphBuilder, scores: str, early: str = "") -> str:
        """``scores`` [batch, symbols] with -inf where a symbol may not be drawn.

        ``early``, bool [batch, 1], must be given where there are stop symbols.
        """
        if not self._rules:
            return scores
        later, first = (graph.floats(row[None]) for row in self._rules.addends(self._symbols))
        addend = graph.op("Where", early, first, later) if early else later
        return graph.op("Add", scores, addend)

    def draw(
        self, graph: GraphBuilder, scores: str, token: str, counts: str, uniform: str
    ) -> Drawing:
        """The next symbol.

        Args:
            graph: body of the loop.
            scores: z, [batch, symbols].
            token: the symbol that was read to get them, int64 [batch].
            counts: how often each symbol was read before it, [batch, symbols].
            uniform: [batch, 1].
        """
        special, plain = graph.subgraph(), graph.subgraph()
        shape = (BATCH, self._symbols)
        specials = self._special_weights(special, scores, token, counts)
        plains = self._soften(plain, scores), plain.op("Identity", counts)
        weights, counts = graph.ops(
            "If",
            2,
            self._special,
            then_branch=special.finish("special", [], [Value(n, FLOAT, shape) for n in specials]),
            else_branch=plain.finish("plain", [], [Value(n, FLOAT, shape) for n in plains]),
        )
        sums = graph.op("CumSum", weights, graph.constant(1))
        total = graph.op("Gather", sums, graph.constant([self._symbols - 1]), axis=1)
        above = graph.op("Greater", sums, graph.op("Mul", uniform, total))
        first = graph.op("ArgMax", graph.op("Cast", above, to=FLOAT), axis=1, keepdims=0)
        return Drawing(first, counts)

    def _soften(self, graph: GraphBuilder, scores: str) -> str:
        return graph.op("Softmax", graph.op("Div", scores, self._temperature), axis=1)

    def _special_weights(
        self, graph: GraphBuilder, scores: str, token: str, counts: str
    ) -> tuple[str, str]:
        """What the symbol is drawn from where some row has penalties or a restriction."""
        shape = (BATCH, self._symbols)
        then, other = graph.subgraph(), graph.subgraph()
        penalised = self._penalise(then, scores, token, counts)
        kept = other.op("Identity", scores), other.op("Identity", counts)
        scores, counts = graph.ops(
            "If",
            2,
            self._penalised,
            then_branch=then.finish("penalised", [], [Value(n, FLOAT, shape) for n in penalised]),
            else_branch=other.finish("free", [], [Value(n, FLOAT, shape) for n in kept]),
        )
        weights = self._soften(graph, scores)
        then = graph.subgraph()
        weights = self._if(
            graph, self._restricted, then, self._restrict(then, scores, weights), weights
        )
        if self._is_wide:
            then = graph.subgraph()
            best = self._take_best(then, self._is_best(then, scores), weights)
            weights = self._if(graph, self._any_greedy, then, best, weights)
        return weights, counts

    def _if(
        self, graph: GraphBuilder, condition: str, then: GraphBuilder, changed: str, weights: str
    ) -> str:
        """``changed``, which ``then`` makes, or ``weights``."""
        shape, other = (BATCH, self._symbols), graph.subgraph()
        kept = other.op("Identity", weights)
        return graph.op(
            "If",
            condition,
            then_branch=then.finish("restricted", [], [Value(changed, FLOAT, shape)]),
            else_branch=other.finish("whole", [], [Value(kept, FLOAT, shape)]),
        )

    def _penalise(
        self, graph: GraphBuilder, scores: str, token: str, counts: str
    ) -> tuple[str, str]:
        """The z' (Keskar et al. 2019, section 4.1) and the counts with ``token``."""
        zero = graph.floats(0.0)
        column = graph.op("Unsqueeze", token, graph.constant([1]))
        ones = graph.op("Expand", graph.floats(1.0), graph.op("Shape", column))
        counts = mark(graph, counts, column, ones)
        seen = graph.op("Greater", counts, zero)
        scaled = graph.op(
            "Where",
            graph.op("Greater", scores, zero),
            graph.op("Div", scores, self._repetition),
            graph.op("Mul", scores, self._repetition),
        )
        repeated = graph.op("Where", seen, scaled, scores)
        presence = graph.op("Mul", graph.op("Cast", seen, to=FLOAT), self._presence)
        frequency = graph.op("Mul", counts, self._frequency)
        penalty = graph.op("Add", presence, frequency)
        return graph.op("Sub", repeated, penalty), counts

    def _restrict(self, graph: GraphBuilder, scores: str, weights: str) -> str:
        """``weights`` with 0 for every symbol that must not be drawn."""
        ranked, _ = graph.ops("TopK", 2, weights, graph.constant([self._symbols]), axis=1)
        larger = graph.op("CumSum", ranked, graph.constant(1), exclusive=1)
        within = graph.op("Cast", graph.op("Less", larger, self._mass), to=INT64)
        count = graph.op("ReduceSum", within, graph.constant([1]))
        place = graph.op("Min", graph.op("Sub", count, graph.constant(1)), self._nth)
        threshold = graph.op("GatherElements", ranked, place, axis=1)
        allowed = graph.op("GreaterOrEqual", weights, threshold)
        if self._is_wide:
            return graph.op("Where", allowed, weights, graph.floats(0.0))
        is_best = self._is_best(graph, scores)
        kept = graph.op("Where", allowed, weights, graph.floats(0.0))
        return self._take_best(graph, is_best, kept)

    def _is_best(self, graph: GraphBuilder, scores: str) -> str:
        """Where the largest score of each row stands, the first of equal ones."""
        best = graph.op("ArgMax", scores, axis=1, keepdims=1)
        return graph.op("Equal", graph.constant(np.arange(self._symbols)[None]), best)

    def _take_best(self, graph: GraphBuilder, is_best: str, weights: str) -> str:
        """``weights``, but in greedy rows those of the best symbol alone."""
        return graph.op("Where", self._greedy, graph.op("Cast", is_best, to=FLOAT), weights)


def mark(graph: GraphBuilder, counts: str, tokens: str, amounts: str) -> str:
    """``counts`` [batch, symbols] with ``amounts`` added at ``tokens``, both [batch, n]."""
    return graph.op("ScatterElements", counts, tokens, amounts, axis=1, reduction="add")


def any_of(graph: GraphBuilder, *conditions: str) -> str:
    """Whether any element of any of the bool tensors holds; a scalar."""
    found = [graph.op("ReduceMax", graph.op("Cast", c, to=INT64), keepdims=0) for c in conditions]
    largest = graph.op("Max", *found) if len(found) > 1 else found[0]
    return graph.op("Cast", largest, to=BOOL)


def _differs(graph: GraphBuilder, value: str, neutral: str) -> str:
    return graph.op("Not", graph.op("Equal", value, neutral))
