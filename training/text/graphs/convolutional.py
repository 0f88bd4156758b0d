"""Residual blocks of dilated causal convolutions on an embedding.

A convolution is one product of its taps, laid side by side, with a [taps * inputs, outputs] matrix:
one row of it is the same for one symbol as for many. What it remembers, ``context_<i>``, are the
last inputs of convolution i, [batch, kept, channels], the oldest first.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from training.graphs.builder import FLOAT, GraphBuilder
from training.graphs.network import BATCH, Carried, ConstantSpec, Read, Reading, StateSpec, Step
from training.graphs.products import Arithmetic, Matrix
from training.text.graphs.weights import CausalConvolution, ConvolutionalWeights


class ConvolutionalNetwork:
    """States ``context_0``, ``context_1``, ...: two a block."""

    constants: tuple[ConstantSpec, ...] = ()
    places = 0

    def __init__(self, weights: ConvolutionalWeights, arithmetic: Arithmetic) -> None:
        self._embedding = weights.embedding
        self._arithmetic = arithmetic
        self._blocks = weights.blocks
        convolutions = [c for block in weights.blocks for c in (block.first, block.second)]
        self.states = tuple(
            StateSpec(f"context_{index}", (c.kept, int(c.weight.shape[1])))
            for index, c in enumerate(convolutions)
        )

    def begin(self, graph: GraphBuilder, states: Mapping[str, str]) -> list[Carried]:
        """See ``Network``."""
        return [Carried(states[s.name], FLOAT, (BATCH, *s.shape)) for s in self.states]

    def step(self, graph: GraphBuilder, token: str, carried: Sequence[str]) -> Step:
        """See ``Network``."""
        x = graph.op("Gather", graph.weight("embedding", self._embedding), token)
        x = graph.op("Unsqueeze", x, graph.constant([1]))
        y, wholes = self._pass(graph, x, carried)
        first, end, axis = graph.constant([1]), graph.constant([2**31]), graph.constant([1])
        after = [graph.op("Slice", whole, first, end, axis) for whole in wholes]
        return Step(graph.op("Squeeze", y, graph.constant([1])), after)

    def end(self, graph: GraphBuilder, carried: Sequence[str]) -> dict[str, str]:
        """See ``Network``."""
        return {spec.name: value for spec, value in zip(self.states, carried, strict=True)}

    def read(self, graph: GraphBuilder, reading: Reading, states: Mapping[str, str]) -> Read:
        """See ``Network``."""
        tokens = graph.op("Transpose", reading.tokens, perm=[1, 0])
        x = graph.op("Gather", graph.weight("embedding", self._embedding), tokens)
        y, wholes = self._pass(graph, x, [states[s.name] for s in self.states])
        last = int(self._blocks[-1].second.weight.shape[0])
        rows = graph.op("Transpose", y, perm=[1, 0, 2])
        after = {
            spec.name: _window(graph, whole, reading.length, spec.shape[0])
            for spec, whole in zip(self.states, wholes, strict=True)
        }
        return Read(graph.op("Reshape", rows, graph.constant([-1, last])), after)

    def _pass(self, graph: GraphBuilder, x: str, contexts: Sequence[str]) -> tuple[str, list[str]]:
        """All blocks over x [batch, time, channels]; also each convolution's context and input."""
        wholes = []
        for index, block in enumerate(self._blocks):
            y = x
            for offset, convolution in enumerate((block.first, block.second)):
                place = 2 * index + offset
                whole = graph.op("Concat", contexts[place], y, axis=1)
                wholes.append(whole)
                y = self._convolve(graph, f"convolution_{place}", convolution, whole)
                y = graph.op("Relu", y)
            if block.shortcut is not None:
                x = self._convolve(graph, f"shortcut_{index}", block.shortcut, x)
            x = graph.op("Relu", graph.op("Add", x, y))
        return x, wholes

    def _convolve(
        self, graph: GraphBuilder, name: str, convolution: CausalConvolution, whole: str
    ) -> str:
        """[batch, kept + time, inputs] -> [batch, time, outputs]."""
        outputs, inputs, taps = convolution.weight.shape
        length = graph.op("Gather", graph.op("Shape", whole), graph.constant([1]))
        time = graph.op("Sub", length, graph.constant([convolution.kept]))
        parts = []
        for tap in range(taps):
            start = graph.constant([tap * convolution.dilation])
            end = graph.op("Add", start, time)
            parts.append(graph.op("Slice", whole, start, end, graph.constant([1])))
        taken = graph.op("Concat", *parts, axis=2) if taps > 1 else parts[0]
        matrix = np.transpose(convolution.weight, (2, 1, 0)).reshape(taps * inputs, outputs)
        y = self._arithmetic.product(
            graph,
            Matrix(name, matrix),
            graph.op("Reshape", taken, graph.constant([-1, taps * inputs])),
            graph.weight(f"{name}.bias", convolution.bias),
        )
        shape = graph.op("Concat", graph.constant([-1]), time, graph.constant([outputs]), axis=0)
        return graph.op("Reshape", y, shape)


def _window(graph: GraphBuilder, whole: str, start: str, count: int) -> str:
    """``whole[b, start[b] : start[b] + count]`` for each row: the inputs kept after ``start``."""
    offsets = graph.constant(np.arange(count)[None])
    times = graph.op("Add", graph.op("Unsqueeze", start, graph.constant([1])), offsets)
    places = graph.op("Unsqueeze", times, graph.constant([2]))
    return graph.op("GatherND", whole, places, batch_dims=1)
