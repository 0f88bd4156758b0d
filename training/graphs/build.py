"""From a network and its head to the two graphs and the declaration of their states."""

from collections.abc import Callable
from dataclasses import dataclass

import onnx
from onnx import GraphProto, helper

from quartet.generation import StatePair
from training.export.format import IR_VERSION, OPSET
from training.graphs.builder import GraphBuilder
from training.graphs.decode import build_decode, counts_spec
from training.graphs.network import Head, Network
from training.graphs.prefill import build_prefill


@dataclass(frozen=True, kw_only=True)
class GeneratorGraphs:
    """A generator with its weights inside both graphs. They share their weights by name."""

    decode: onnx.ModelProto
    prefill: onnx.ModelProto
    states: tuple[StatePair, ...]
    """What a declaration says of them."""
    constants: tuple[str, ...] = ()
    """Likewise."""


def assemble(network: Network, head: Head) -> GeneratorGraphs:
    """Both graphs of a network."""
    states = (*network.states, counts_spec(head.symbols))
    return GeneratorGraphs(
        decode=_model(build_decode, network, head),
        prefill=_model(build_prefill, network, head),
        states=tuple(StatePair(input=spec.name, output=spec.output) for spec in states),
        constants=tuple(spec.name for spec in network.constants),
    )


def _model(
    build: Callable[[GraphBuilder, Network, Head], GraphProto], network: Network, head: Head
) -> onnx.ModelProto:
    builder = GraphBuilder()
    graph = build(builder, network, head)
    graph.initializer.extend(builder.initializers())
    return helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="quartet",
    )
