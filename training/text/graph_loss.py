"""Loss of a text by a prefill graph, as ``training.text.streams`` computes it in PyTorch."""

import numpy as np

from quartet.generation import LENGTH, LOG_PROBABILITIES, TOKENS
from training.export.predict import Arrays, Predict


def stream_loss(
    prefill: Predict, zeros: Arrays, streams: tuple[np.ndarray, np.ndarray], piece: int = 256
) -> float:
    """Sum of -ln p over the targets, nats, each stream from a zero state.

    Args:
        prefill: runs the prefill graph.
        zeros: input name -> zeros [streams, ...].
        streams: inputs and targets, int64 [streams, length] each; negative targets do not count.
        piece: symbols of a stream in one run.
    """
    total, states = 0.0, dict(zeros)
    inputs, targets = streams
    for start in range(0, inputs.shape[1], piece):
        tokens = np.ascontiguousarray(inputs[:, start : start + piece])
        wanted = targets[:, start : start + piece, None]
        lengths = np.full(len(tokens), tokens.shape[1], np.int64)
        outputs = prefill({TOKENS: tokens, LENGTH: lengths, **states})
        states = {name: outputs[f"next_{name}"] for name in states}
        logs = np.asarray(outputs[LOG_PROBABILITIES], np.float32)
        chosen = np.take_along_axis(logs, np.maximum(wanted, 0), axis=2)
        total -= float(chosen[wanted >= 0].sum(dtype=np.float64))
    return total
