"""Replays golden captions at load: pictures through all graphs, and the search that finds them.

The golden files of the graphs prove each alone. This proves that they fit together: the encoder's
outputs, the table of states, the steps, the search.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quartet.artifact import (
    ArtifactError,
    CaptionGolden,
    ImageCaptioningTask,
    load_caption_golden,
)
from quartet.beam_search import BeamRules, Beams, BeamSearcher, Hypothesis
from quartet.config import ConfigError
from serving.dynamic_batcher import Engine
from serving.errors import InferenceFailed
from serving.generation_types import Sampling
from serving.token_scheduler import DecodeRun, Move, RowState, StepEngine


def check_caption_file(
    task: ImageCaptioningTask,
    encoder: Engine,
    names: Sequence[str],
    decoder: StepEngine,
    file: Path,
) -> str:
    """Replay ``file``, if there is one; what was proved, in words.

    To be called before any row runs; the first slots of ``decoder`` are left with states of golden
    captions in them.

    Args:
        task: the declaration.
        encoder: runs the encoder graph; its input takes pictures as the file has them.
        names: of the encoder's outputs, which are inputs of decode.
        decoder: runs the others.
        file: ``CAPTION_GOLDEN_FILE`` of the version.

    Raises:
        ConfigError: the file is damaged, a graph failed on it, or a caption is another one.
    """
    if not file.is_file():
        return "no golden file"
    try:
        golden = load_caption_golden(file)
        if golden.beam_width > decoder.slots:
            return f"not tried: {golden.beam_width} beams, but {decoder.slots} slots"
        worst = 0.0
        for row in range(len(golden.images)):
            # One picture at a time: whatever the encoder's batches are, they hold one.
            arrays = encoder.run({task.image.input: golden.images[row : row + 1]}, names)
            state = {name: array[0] for name, array in zip(names, arrays, strict=True)}
            worst = max(worst, _check_caption(task, decoder, state, golden, row))
    except (ArtifactError, InferenceFailed) as error:
        raise ConfigError(str(error)) from error
    return f"{len(golden.images)} found, largest difference {worst:.2g}"


def _check_caption(
    task: ImageCaptioningTask, decoder: StepEngine, state: RowState, golden: CaptionGolden, row: int
) -> float:
    """Search for one caption; the largest difference of its log-probabilities."""
    found = _search(task, decoder, state, golden)
    wanted, scores = golden.tokens[row], golden.log_probabilities[row]
    if not np.array_equal(found.tokens, wanted):
        raise ConfigError(
            f"golden check failed: caption {row} is {_text(task, found.tokens.tolist())!r}, "
            f"expected {_text(task, wanted.tolist())!r}"
        )
    worst = float(np.abs(found.log_probabilities - scores).max())
    if not worst <= golden.atol:
        raise ConfigError(
            f"golden check failed: log-probabilities of caption {row} differ by up to "
            f"{worst:.3g}, allowed are {golden.atol:g}"
        )
    return worst


def _search(
    task: ImageCaptioningTask, decoder: StepEngine, state: RowState, golden: CaptionGolden
) -> Hypothesis:
    """The best caption, from the encoder's outputs for one picture."""
    symbols = task.vocabulary
    search = BeamSearcher(
        BeamRules(
            width=golden.beam_width,
            n=1,
            max_tokens=golden.max_tokens,
            min_tokens=golden.min_tokens,
            length_penalty=golden.length_penalty,
            symbols=symbols,
            stop_symbols=frozenset(symbols.index(symbol) for symbol in task.stop),
            until_full=True,
        )
    )
    beams: Beams | None = Beams((0,), (symbols.index(task.begin),))
    moves: tuple[Move, ...] = (Move(slot=0, state=state),)
    while beams is not None:
        result = decoder.execute(_step(beams, moves))
        if result.top_tokens is None or result.top_log_probabilities is None:
            raise InferenceFailed("the decode graph gave no candidates")
        beams = search.choose(result.top_tokens[:, 0], result.top_log_probabilities[:, 0])
        if beams is not None:
            moves = tuple(
                Move(slot=slot, source=parent) for slot, parent in enumerate(beams.parents)
            )
    return search.results()[0]


def _step(beams: Beams, moves: tuple[Move, ...]) -> DecodeRun:
    """One step of every beam, each in the slot of its number."""
    rows = len(beams.tokens)
    return DecodeRun(
        moves=moves,
        slots=tuple(range(rows)),
        token=np.array(beams.tokens, np.int64),
        sampling=(Sampling(temperature=0.0),) * rows,
        alternatives=np.ones(rows, np.int64),
        uniform=np.zeros((rows, 1), np.float32),
    )


def _text(task: ImageCaptioningTask, tokens: list[int]) -> str:
    """As a message shows it."""
    known = range(len(task.vocabulary))
    return " ".join(task.vocabulary[token] if token in known else str(token) for token in tokens)
