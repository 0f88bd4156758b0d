"""What the decode and prefill graphs ask of a network of any kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from training.graphs.builder import FLOAT, Dimension, GraphBuilder, Value
from training.graphs.products import Arithmetic, Matrix
from training.graphs.rules import ALL_DRAWN, SymbolRules
from training.graphs.weights import Floats

BATCH = "batch"
"""Name of the axis of rows."""


@dataclass(frozen=True, slots=True)
class StateSpec:
    """A state of one row."""

    name: str
    """Of the graph's input; the output is called ``next_<name>``."""
    shape: tuple[int, ...]
    """Without the batch axis."""

    @property
    def output(self) -> str:
        """Name of the graph's output."""
        return f"next_{self.name}"

    def values(self) -> tuple[Value, Value]:
        """The graph's input and output."""
        shape: tuple[Dimension, ...] = (BATCH, *self.shape)
        return Value(self.name, FLOAT, shape), Value(self.output, FLOAT, shape)


@dataclass(frozen=True, slots=True)
class ConstantSpec:
    """What a row keeps unchanged."""

    name: str
    """Of the input of both graphs."""
    shape: tuple[int, ...]
    """Without the batch axis."""

    def value(self) -> Value:
        """The graph's input."""
        return Value(self.name, FLOAT, (BATCH, *self.shape))


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that goes from one step to the next inside a graph."""

    value: str
    type: int
    shape: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A batch of texts to be read, as values of the prefill graph."""

    tokens: str
    """int64 [time, batch]; past a row's length they are 0."""
    length: str
    """int64 [batch]."""


class Step(NamedTuple):
    """What reading one symbol gives, as values of the graph."""

    operand: str
    """What the head takes, [batch, width]."""
    carried: list[str]
    """What goes on to the next step."""
    attention: str = ""
    """float32 [batch, places]; empty where there is none."""


class Read(NamedTuple):
    """What reading many gives."""

    operands: str
    """What the head takes, [time * batch, width]."""
    states: dict[str, str]
    """Where each row ends."""
    attention: str = ""
    """float32 [time, batch, places]; empty where there is none."""


class Network(Protocol):
    """Embedding and layers: symbols in, what the head takes out.

    ``begin``, ``step`` and ``end`` read one symbol at a time, ``read`` many; both give the same
    bits.
    """

    states: tuple[StateSpec, ...]
    """What it remembers of the text."""
    constants: tuple[ConstantSpec, ...]
    """What else it is given; inside either graph, and in the bodies of loops, under their names."""
    places: int
    """Places that it attends to; 0: it has no attention."""

    def begin(self, graph: GraphBuilder, states: Mapping[str, str]) -> list[Carried]:
        """What the first step starts from, from the values of the states [batch, ...]."""
        ...

    def step(self, graph: GraphBuilder, token: str, carried: Sequence[str]) -> Step:
        """Read ``token``, int64 [batch]."""
        ...

    def end(self, graph: GraphBuilder, carried: Sequence[str]) -> dict[str, str]:
        """The states after the last step."""
        ...

    def read(self, graph: GraphBuilder, reading: Reading, states: Mapping[str, str]) -> Read:
        """Read many."""
        ...


class Head:
    """The linear layer from the top layer's operand to one score a symbol.

    Args:
        weight: [symbols, width].
        bias: [symbols].
        arithmetic: of the product.
        rules: which symbols may be drawn.
    """

    def __init__(
        self,
        weight: Floats,
        bias: Floats,
        arithmetic: Arithmetic,
        rules: SymbolRules = ALL_DRAWN,
    ) -> None:
        self.symbols = int(weight.shape[0])
        self.rules = rules
        self._weight = Matrix("head", weight.T)
        self._bias, self._arithmetic = bias, arithmetic

    def scores(self, graph: GraphBuilder, operand: str) -> str:
        """float32 [rows, symbols]."""
        bias = graph.weight("head.bias", self._bias)
        return self._arithmetic.product(graph, self._weight, operand, bias)


def row_ends(graph: GraphBuilder, start: str, sequence: str, length: str) -> str:
    """The state of each row after its ``length`` symbols.

    Args:
        graph: takes the nodes.
        start: before the first, [batch, ...].
        sequence: after each one, [time, batch, ...].
        length: int64 [batch].

    Returns: [batch, ...].
    """
    first = graph.constant([0])
    whole = graph.op("Concat", graph.op("Unsqueeze", start, first), sequence, axis=0)
    return rows_at(graph, whole, length)


def rows_at(graph: GraphBuilder, sequence: str, index: str) -> str:
    """``sequence[index[b], b]`` for every row b.

    Args:
        graph: takes the nodes.
        sequence: [time, batch, ...].
        index: int64 [batch].

    Returns: [batch, ...].
    """
    rows = graph.op(
        "Range",
        graph.constant(0),
        graph.op("Squeeze", graph.op("Shape", index)),
        graph.constant(1),
    )
    last = graph.constant([1])
    places = graph.op(
        "Concat", graph.op("Unsqueeze", index, last), graph.op("Unsqueeze", rows, last), axis=1
    )
    return graph.op("GatherND", sequence, places)
