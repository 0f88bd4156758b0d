"""Times a captioner as a whole: a picture through the encoder, then steps of its beams."""

import numpy as np

from quartet.generation import ALTERNATIVES, MINIMUM, TEMPERATURE, TOKEN, TOKENS, UNIFORM
from training.caption.card import TIMED_BEAMS, TIMED_WORDS
from training.caption.graph_search import CaptionGraphs
from training.export.predict import Arrays, Predict, row_count
from training.graphs.reference import neutral_controls
from training.graphs.stepping import COUNTS


def timed_search(graphs: CaptionGraphs, symbols: int) -> Predict:
    """What a search costs inside the graphs: ``TIMED_WORDS`` steps of ``TIMED_BEAMS`` rows each.

    The rows are not sorted between the steps, so the two forms that are compared do equal work.
    """

    def run(inputs: Arrays) -> Arrays:
        picture = graphs.encoder(inputs)
        beams = {name: np.repeat(values, TIMED_BEAMS, axis=0) for name, values in picture.items()}
        rows = row_count(beams)
        outputs = graphs.decode(
            {
                TOKEN: np.full(rows, graphs.begin, np.int64),
                **beams,
                COUNTS: np.zeros((rows, symbols), np.float32),
                **neutral_controls(rows),
                TEMPERATURE: np.zeros(rows, np.float32),
                MINIMUM: np.zeros(rows, np.int64),
                ALTERNATIVES: np.ones(rows, np.int64),
                UNIFORM: np.zeros((rows, TIMED_WORDS), np.float32),
            }
        )
        return {TOKENS: outputs[TOKENS]}

    return run
