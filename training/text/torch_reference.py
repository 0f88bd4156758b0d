"""What the two graphs must give, computed by PyTorch and the NumPy definition of drawing."""

from collections.abc import Mapping

import numpy as np
import torch

from quartet.generation import LENGTH, LOG_PROBABILITIES, TOKENS
from training.export.predict import Arrays
from training.graphs.reference import Ids
from training.graphs.stepping import COUNTS, SteppedGraphs, StepResult, log_softmax
from training.graphs.weights import Floats
from training.text.model import CharModel
from training.text.tcn import TemporalConvNet


class TorchReference:
    """``prefill`` and ``decode`` have the signature of ``Predict``.

    ``top_tokens`` and ``top_log_probabilities`` are left out: near a tie their order is anybody's.

    Args:
        model: in eval mode, on the CPU.
    """

    def __init__(self, model: CharModel) -> None:
        self._model = model
        self._symbols = len(model.symbols)
        # The graphs keep the inputs of a convolution as [kept, channels].
        self._transposed = isinstance(model.recurrent, TemporalConvNet)

    def zeros(self, rows: int) -> dict[str, Floats]:
        """The states before any text, by input name."""
        return {
            **self._to_arrays(self._model.initial_state(rows)),
            COUNTS: np.zeros((rows, self._symbols), np.float32),
        }

    def step(self, tokens: Ids, states: Mapping[str, Floats]) -> StepResult:
        """Scores after one more symbol a row, and the states."""
        scores, after = self._run(tokens[:, None], states)
        return StepResult(scores[:, 0], after)

    def prefill(self, inputs: Arrays) -> Arrays:
        """See ``quartet.generation``."""
        length = np.asarray(inputs[LENGTH], np.int64)
        tokens = np.asarray(inputs[TOKENS], np.int64)
        tokens = np.where(np.arange(tokens.shape[1]) < length[:, None], tokens, 0)
        states = self._states(inputs)
        scores, _ = self._run(tokens, states)
        ends = {name: values.copy() for name, values in states.items()}
        for row, count in enumerate(length):
            if count:
                one = slice(row, row + 1)
                mine = {name: values[one] for name, values in states.items()}
                for name, value in self._run(tokens[one, :count], mine)[1].items():
                    ends[name][one] = value
        return {LOG_PROBABILITIES: log_softmax(scores), **_outputs(ends)}

    def decode(self, inputs: Arrays) -> Arrays:
        """See ``quartet.generation``."""
        names = (*self._model.state_names, COUNTS)
        return SteppedGraphs(self.step, names).decode(inputs)

    @torch.inference_mode()
    def _run(self, tokens: Ids, states: Mapping[str, Floats]) -> tuple[Floats, dict[str, Floats]]:
        parts = [torch.from_numpy(np.array(states[name])) for name in self._model.state_names]
        if self._transposed:
            parts = [part.transpose(1, 2) for part in parts]
        scores, after = self._model(torch.from_numpy(np.array(tokens)), tuple(parts))
        counts = states[COUNTS].copy()
        rows = np.broadcast_to(np.arange(len(tokens))[:, None], tokens.shape)
        np.add.at(counts, (rows, tokens), 1.0)
        return scores.numpy(), {**self._to_arrays(after), COUNTS: counts}

    def _to_arrays(self, parts: tuple[torch.Tensor, ...]) -> dict[str, Floats]:
        if self._transposed:
            parts = tuple(part.transpose(1, 2) for part in parts)
        names = self._model.state_names
        return {name: part.contiguous().numpy() for name, part in zip(names, parts, strict=True)}

    def _states(self, inputs: Arrays) -> dict[str, Floats]:
        return {
            name: np.asarray(inputs[name], np.float32)
            for name in (*self._model.state_names, COUNTS)
        }


def _outputs(states: Mapping[str, Floats]) -> dict[str, Floats]:
    return {f"next_{name}": values for name, values in states.items()}
