"""Which symbols of a vocabulary may be drawn."""

from dataclasses import dataclass

import numpy as np

from training.graphs.weights import Floats


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """Symbols that may not, by their ids."""

    hidden: tuple[int, ...] = ()
    """Never drawn."""
    stop: tuple[int, ...] = ()
    """Not drawn in a run's first steps, as many as the control ``minimum`` says for a row."""

    def __bool__(self) -> bool:
        return bool(self.hidden or self.stop)

    def addends(self, symbols: int) -> tuple[Floats, Floats]:
        """What is added to the scores, 0 or -inf, float32 [symbols]: later on, and in first steps.

        A score of -inf stays so under every penalty and temperature, and its probability is 0.
        """
        later = np.zeros(symbols, np.float32)
        later[list(self.hidden)] = -np.inf
        first = later.copy()
        first[list(self.stop)] = -np.inf
        return later, first


ALL_DRAWN = SymbolRules()
"""Of a vocabulary whose symbols may all be drawn at any time."""
