"""Holds the graphs of a captioner to a reference, beyond what ``training.graphs.proof`` does."""

import numpy as np

from quartet.generation import LOG_PROBABILITIES
from training.export.parity import ParityReport, Tolerance, batch_dependence, differences
from training.export.predict import Arrays, Predict
from training.graphs.proof import EXACT, Pair

BATCH_SIZES = (1, 2, 7, 33)
LEAST = -100.0
"""Log-probabilities below it are equal: those of symbols that are never drawn lie at -1e4, where
float32 has steps of 1e-3."""


def clipped(pair: Pair) -> Pair:
    """The same with log-probabilities of ``LEAST`` or more from the prefill graph."""

    def prefill(inputs: Arrays) -> Arrays:
        outputs = dict(pair.prefill(inputs))
        logs = np.asarray(outputs[LOG_PROBABILITIES], np.float32)
        outputs[LOG_PROBABILITIES] = np.maximum(logs, np.float32(LEAST))
        return outputs

    return Pair(pair.decode, prefill)


def check_encoder(
    candidate: Predict, reference: Predict, inputs: Arrays, tolerance: Tolerance, label: str
) -> ParityReport:
    """Compare an encoder with a reference at several batch sizes.

    Beyond that, a row must have the same bits alone and in a batch.

    Raises:
        ExportError: a difference that is not allowed.
    """
    return ParityReport(
        reference=label,
        atol=tolerance.atol,
        rtol=tolerance.rtol,
        max_abs_difference=differences(
            candidate, reference, inputs, tolerance, label, sizes=BATCH_SIZES
        ),
        max_abs_batch_difference=batch_dependence(candidate, inputs, EXACT),
    )
