"""From weights to the two graphs and the declaration of their states."""

from collections.abc import Callable
from dataclasses import dataclass

import onnx
from onnx import GraphProto, helper

from quartet.generation import StatePair
from training.export.format import IR_VERSION, OPSET
from training.text.graphs.builder import GraphBuilder
from training.text.graphs.convolutional import ConvolutionalNetwork
from training.text.graphs.decode import build_decode, counts_spec
from training.text.graphs.network import Head, Network
from training.text.graphs.prefill import build_prefill
from training.text.graphs.products import Arithmetic, Float32, Precision, make_arithmetic
from training.text.graphs.recurrent import RecurrentNetwork
from training.text.graphs.weights import ConvolutionalWeights, Weights


@dataclass(frozen=True, kw_only=True)
class GeneratorGraphs:
    """A generator with its weights inside both graphs. They share their weights by name."""

    decode: onnx.ModelProto
    prefill: onnx.ModelProto
    states: tuple[StatePair, ...]
    """What a declaration says of them."""


def build_graphs(weights: Weights, precision: Precision) -> GeneratorGraphs:
    """Both graphs of ``weights``.

    Raises:
        ValueError: int8 for convolutions, whose inputs have no bound known beforehand.
    """
    if precision == "int8" and isinstance(weights, ConvolutionalWeights):
        raise ValueError(
            "int8 is for recurrent cells, whose states lie in (-1, 1); "
            "the inputs of these convolutions have no such bound"
        )
    arithmetic = make_arithmetic(precision)
    network = _network(weights, arithmetic)
    head = Head(weights.head, weights.head_bias, arithmetic)
    states = (*network.states, counts_spec(weights.symbols))
    return GeneratorGraphs(
        decode=_model(build_decode, network, head),
        prefill=_model(build_prefill, network, head),
        states=tuple(StatePair(input=spec.name, output=spec.output) for spec in states),
    )


def _network(weights: Weights, arithmetic: Arithmetic) -> Network:
    if isinstance(weights, ConvolutionalWeights):
        return ConvolutionalNetwork(weights, Float32())
    return RecurrentNetwork(weights, arithmetic)


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
