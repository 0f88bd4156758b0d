"""Captions of one picture without a scheduler, a batch or the decode graph: word by word."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from quartet.artifact import ENCODER_FILE, PREFILL_FILE
from quartet.generation import ATTENTION
from serving.caption_types import Floats
from tests.caption_models import END, HIDDEN_SYMBOLS, VOCABULARY, photo_pixels

State = Mapping[str, Floats]


class CaptionReference:
    """The encoder and the prefill graph of a model that ``make_caption_model`` wrote."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the version's."""
        self.encoder, self.prefill = (
            ort.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
            for file in (ENCODER_FILE, PREFILL_FILE)
        )

    def start(self, seed: int) -> State:
        """What captions of ``photo(seed)`` begin with, one row."""
        names = [output.name for output in self.encoder.get_outputs()]
        values = self.encoder.run(names, {"image": photo_pixels(seed)[None]})
        state = dict(zip(names, values, strict=True))
        return {"counts": np.zeros((1, len(VOCABULARY)), np.float32), **state}

    def read(self, word: int, state: State) -> tuple[Floats, Floats | None, State]:
        """Log-probabilities of the next word [symbols], its attention, the state after."""
        names = [output.name for output in self.prefill.get_outputs()]
        feeds = {"tokens": np.array([[word]]), "length": np.array([1]), **state}
        out = dict(zip(names, self.prefill.run(names, feeds), strict=True))
        after = {n.removeprefix("next_"): v for n, v in out.items() if n.startswith("next_")}
        shares = out.get(ATTENTION)
        looked = None if shares is None else shares[0, 0]
        return out["log_probabilities"][0, 0], looked, {**state, **after}

    def search(
        self, seed: int, *, width: int, n: int, least: int = 1, most: int = 24, penalty: float = 1.0
    ) -> list[tuple[str, float]]:
        """Text and log-probability of the best captions, by a search over all symbols."""
        hidden = [VOCABULARY.index(symbol) for symbol in HIDDEN_SYMBOLS]
        stop = VOCABULARY.index(END)
        live: list[tuple[tuple[int, ...], float, State]] = [((), 0.0, self.start(seed))]
        complete: list[tuple[tuple[int, ...], float]] = []
        while live and len(complete) < width:
            longer = []
            for words, total, before in live:
                scores, _, state = self.read(words[-1] if words else 0, before)
                for symbol, score in enumerate(scores.tolist()):
                    if symbol not in hidden and not (symbol == stop and len(words) < least):
                        longer.append(((*words, symbol), total + score, state))
            longer.sort(key=lambda beam: -beam[1])
            live = []
            for beam in longer:
                if beam[0][-1] == stop or len(beam[0]) == most:
                    complete.append(beam[:2])
                elif len(live) < width:
                    live.append(beam)
                if len(live) == width:
                    break
        complete.sort(key=lambda one: -one[1] / len(one[0]) ** penalty)
        return [
            (" ".join(VOCABULARY[symbol] for symbol in words if symbol != stop), total)
            for words, total in complete[:n]
        ]
