"""From the weights of a caption decoder to its graphs."""

from training.caption.graphs.network import CaptionNetwork
from training.caption.graphs.weights import CaptionWeights
from training.graphs.build import GeneratorGraphs, assemble
from training.graphs.network import Head
from training.graphs.products import Precision, make_arithmetic
from training.graphs.rules import SymbolRules


def build_graphs(
    weights: CaptionWeights, rules: SymbolRules, precision: Precision
) -> GeneratorGraphs:
    """Decode and prefill of ``weights``; ``rules`` say which symbols may be drawn."""
    arithmetic = make_arithmetic(precision)
    head = Head(weights.scores, weights.scores_bias, arithmetic, rules)
    return assemble(CaptionNetwork(weights, arithmetic), head)
