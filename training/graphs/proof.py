"""Holds both graphs of a generator to a reference, and each row to itself in other company."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quartet.artifact import GOLDEN_FILE, MODEL_FILE, PREFILL_FILE, PREFILL_GOLDEN_FILE, Golden
from quartet.generation import LENGTH, MINIMUM, TOKEN, TOKENS, TOP_TOKENS, UNIFORM
from training.export.golden import make_golden
from training.export.parity import (
    ParityReport,
    Tolerance,
    batch_dependence,
    compare,
    differences,
)
from training.export.predict import Arrays, Predict
from training.graphs.goldens import STEPS, TIME, GeneratorInputs
from training.graphs.stepping import next_states

BATCH_SIZES = (1, 2, 7, 33)
LENGTHS = (1, 5, STEPS)
"""Steps of a decode run, and symbols of a prefill run where it has as many."""
EXACT = Tolerance(atol=0.0, rtol=0.0)
GOLDEN = Tolerance(atol=2e-2, rtol=0.0)
"""Of log-probabilities and states. Room for TF32 products on GPUs, whose 10-bit mantissas disturb
a score in its third digit; symbols were drawn to stay the same under as much."""
_CUTS = ((5, 11), (1,) * STEPS)
"""How ``STEPS`` steps are divided to show that it does not matter."""


@dataclass(frozen=True)
class Pair:
    """Something that runs the two graphs."""

    decode: Predict
    prefill: Predict

    def without_ranking(self) -> "Pair":
        """The same without ``top_tokens``, whose order near a tie is anybody's."""

        def decode(inputs: Arrays) -> Arrays:
            return {k: v for k, v in self.decode(inputs).items() if k != TOP_TOKENS}

        return Pair(decode, self.prefill)


def check_graphs(
    candidate: Pair, reference: Pair, inputs: GeneratorInputs, tolerance: Tolerance, label: str
) -> dict[str, ParityReport]:
    """Compare the graphs with a reference at several batch sizes and lengths.

    Symbols must be equal. Beyond that, a row must have the same bits alone and in a batch, and
    however its steps are divided.

    Returns:
        Graph's file name -> report; the keys of its differences are "<rows>x<length>".

    Raises:
        ExportError: a difference that is not allowed.
    """
    decode, prefill = {}, {}
    for length in LENGTHS:
        steps = {**inputs.decode, UNIFORM: inputs.decode[UNIFORM][:, :length]}
        found = differences(
            candidate.decode, reference.decode, steps, tolerance, label, sizes=BATCH_SIZES
        )
        decode.update({f"{rows}x{length}": value for rows, value in found.items()})
        time = min(length, TIME)
        ends = np.minimum(inputs.prefill[LENGTH], time)
        read = {**inputs.prefill, TOKENS: inputs.prefill[TOKENS][:, :time], LENGTH: ends}
        found = differences(
            candidate.prefill, reference.prefill, read, tolerance, label, sizes=BATCH_SIZES
        )
        prefill.update({f"{rows}x{time}": value for rows, value in found.items()})
    whole = candidate.decode(inputs.decode)
    for cut in _CUTS:
        pieces = _in_pieces(candidate.decode, inputs.decode, cut)
        compare(pieces, whole, EXACT, f"steps divided as {cut}")
    return {
        MODEL_FILE: _report(label, tolerance, decode, candidate.decode, inputs.decode),
        PREFILL_FILE: _report(label, tolerance, prefill, candidate.prefill, inputs.prefill),
    }


def make_goldens(
    candidate: Pair, reference: Pair, inputs: GeneratorInputs, source: str
) -> dict[str, Golden]:
    """Golden file name -> golden. Raises ExportError if ``candidate`` does not give them."""
    return {
        GOLDEN_FILE: make_golden(inputs.decode, reference.decode, candidate.decode, GOLDEN, source),
        PREFILL_GOLDEN_FILE: make_golden(
            inputs.prefill, reference.prefill, candidate.prefill, GOLDEN, source
        ),
    }


def _report(
    label: str,
    tolerance: Tolerance,
    found: Mapping[str, float],
    predict: Predict,
    inputs: Arrays,
) -> ParityReport:
    return ParityReport(
        reference=label,
        atol=tolerance.atol,
        rtol=tolerance.rtol,
        max_abs_difference=dict(found),
        max_abs_batch_difference=batch_dependence(predict, inputs, EXACT),
    )


def _in_pieces(decode: Predict, inputs: Arrays, cut: Sequence[int]) -> Arrays:
    """The outputs of one long run, made by several short ones."""
    now, parts, start = dict(inputs), [], 0
    for steps in cut:
        now[UNIFORM] = np.ascontiguousarray(inputs[UNIFORM][:, start : start + steps])
        outputs = decode(now)
        parts.append(outputs)
        start += steps
        now[TOKEN] = np.ascontiguousarray(outputs[TOKENS][:, -1])
        if MINIMUM in now:
            now[MINIMUM] = np.asarray(now[MINIMUM], np.int64) - steps
        now.update(next_states(outputs))
    return {
        name: values
        if name.startswith("next_")
        else np.concatenate([part[name] for part in parts], axis=1)
        for name, values in parts[-1].items()
    }
