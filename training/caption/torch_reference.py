"""What the decode and prefill graphs must give, computed by PyTorch."""

from collections.abc import Mapping

import numpy as np
import torch

from training.caption.conversion import rules_of
from training.caption.graphs.network import CELL, HIDDEN, KEYS, VALUES
from training.caption.model import CaptionModel, Picture, WordState
from training.export.predict import Arrays
from training.graphs.reference import Ids
from training.graphs.stepping import COUNTS, SteppedGraphs, StepResult
from training.graphs.weights import Floats


class TorchReference:
    """``prefill`` and ``decode`` have the signature of ``Predict``.

    Args:
        model: in eval mode, on the CPU.
    """

    def __init__(self, model: CaptionModel) -> None:
        self._model = model
        self._attends = model.decoder.attention is not None
        names = (HIDDEN, CELL, COUNTS, *((KEYS, VALUES) if self._attends else ()))
        graphs = SteppedGraphs(self.step, names, rules_of(model.symbols))
        self.decode, self.prefill = graphs.decode, graphs.prefill

    def start(self, picture: Arrays) -> dict[str, Floats]:
        """What captions begin with, from the encoder's outputs by name."""
        start = {name: np.asarray(values, np.float32) for name, values in picture.items()}
        rows = len(start[HIDDEN])
        return {**start, COUNTS: np.zeros((rows, len(self._model.symbols)), np.float32)}

    @torch.inference_mode()
    def step(self, tokens: Ids, rows: Mapping[str, Floats]) -> StepResult:
        """Scores after one more word a row, the states and the shares of the places."""
        decoder, offset = self._model.decoder, self._model.offset
        given = {name: torch.from_numpy(np.array(rows[name])) for name in rows}
        state = WordState(given[HIDDEN], given[CELL])
        picture = Picture(state, given.get(VALUES), given.get(KEYS))
        embedded = decoder.embed(torch.from_numpy(np.array(tokens)))
        read, after, shares = decoder.step(embedded, state, picture)
        counts = rows[COUNTS].copy()
        counts[np.arange(len(tokens)), tokens] += 1.0
        return StepResult(
            (decoder.score(read) + offset).numpy(),
            {HIDDEN: after.hidden.numpy(), CELL: after.cell.numpy(), COUNTS: counts},
            None if shares is None else shares.numpy(),
        )
