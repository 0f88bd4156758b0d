"""From the weights of a character model to its graphs."""

from training.graphs.build import GeneratorGraphs, assemble
from training.graphs.network import Head, Network
from training.graphs.products import Arithmetic, Float32, Precision, make_arithmetic
from training.text.graphs.convolutional import ConvolutionalNetwork
from training.text.graphs.recurrent import RecurrentNetwork
from training.text.graphs.weights import ConvolutionalWeights, Weights


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
    return assemble(
        _network(weights, arithmetic), Head(weights.head, weights.head_bias, arithmetic)
    )


def _network(weights: Weights, arithmetic: Arithmetic) -> Network:
    if isinstance(weights, ConvolutionalWeights):
        return ConvolutionalNetwork(weights, Float32())
    return RecurrentNetwork(weights, arithmetic)
