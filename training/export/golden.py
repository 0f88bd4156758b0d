"""Golden files: inputs and outputs that a server replays before it calls a model ready.

The check must catch a file that is broken or not the one that was proved, and must pass on every
sound machine. A float32 graph is held to PyTorch's outputs; the tolerance leaves room for TF32
products on GPUs, whose 10-bit mantissas moved these probabilities by up to 4.4e-4 when emulated on
a LeNet. An int8 graph is held
to its own meaning: the outputs of the same file with every operator run as the ONNX specification
defines it. Against float32's outputs the tolerance would have to admit the loss of quantisation,
which near a decision boundary is large, and would pass many a broken file with it.
"""

import numpy as np
import onnxruntime as ort
import torch

from quartet.artifact import Golden
from training.export.errors import ExportError
from training.export.parity import Tolerance
from training.export.predict import Arrays, Predict

FLOAT32 = Tolerance(atol=2e-3, rtol=0.0)
"""For probabilities; see above."""
INT8 = Tolerance(atol=1e-2, rtol=0.0)
"""For probabilities. Fused integer kernels round an activation now and then to the next step; over
5,000 validation pictures that moved no probability of a LeNet by more than 2.7e-3."""
HEADROOM = 0.5
"""A golden file must hold on the exporting machine within this share of its tolerance."""


def make_golden(
    inputs: Arrays, reference: Predict, candidate: Predict, tolerance: Tolerance, source: str
) -> Golden:
    """``reference``'s outputs, after checking that ``candidate`` gives the same.

    Args:
        inputs: rows to store.
        reference: computes the outputs to store.
        candidate: the graph as a server would run it.
        tolerance: stored with the outputs.
        source: names the reference.

    Raises:
        ExportError: ``candidate`` is off by more than ``HEADROOM`` of the tolerance.
    """
    outputs = reference(inputs)
    got = candidate(inputs)
    for name, expected in outputs.items():
        if not np.isfinite(expected.astype(np.float64)).all():
            raise ExportError(f"golden output {name!r} of {source} has values that are not finite")
        excess = tolerance.excess(got[name], expected)
        if excess > HEADROOM * tolerance.atol:
            raise ExportError(
                f"golden output {name!r} of {source} is missed by {excess:.2e}, allowed are "
                f"{HEADROOM * tolerance.atol:.0e}"
            )
    return Golden(
        inputs=inputs, outputs=outputs, atol=tolerance.atol, rtol=tolerance.rtol, source=source
    )


def float32_source() -> str:
    """Names PyTorch as the reference."""
    return f"torch {torch.__version__}, float32"


def int8_source() -> str:
    """Names the unfused graph as the reference."""
    return f"onnxruntime {ort.__version__}, operators as specified (no fusion)"
