"""Golden captions: pictures whose best caption is the same on every processor.

A search compares sums of log-probabilities, and the last bit of one may turn a near tie. So only
pictures are stored whose caption stays the same after all candidates' scores were disturbed by far
more than arithmetic can differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from quartet.artifact import CaptionGolden
from quartet.beam_search import Hypothesis
from quartet.generation import TOP_LOG_PROBABILITIES
from training.caption.decoding import BeamSettings, beam_rules
from training.caption.graph_search import CaptionGraphs
from training.export.errors import ExportError
from training.export.golden import HEADROOM
from training.export.predict import Arrays
from training.graphs.goldens import DISTURBANCE
from training.graphs.proof import GOLDEN
from training.vision.drawings import Pixels

PICTURES = 4
"""Stored at most."""
_COPIES = 6
"""Disturbed searches that must agree with the undisturbed one."""

Search = Callable[[Pixels], Sequence[Hypothesis]]
"""The best caption of each of pictures [N, S, S, 3]."""


def make_caption_golden(
    candidate: CaptionGraphs,
    reference: Search,
    images: Pixels,
    search: tuple[BeamSettings, Sequence[str]],
    source: str,
) -> CaptionGolden:
    """The captions that ``reference`` finds, after checking that ``candidate`` finds the same.

    Args:
        candidate: the graphs as a server would run them.
        reference: finds the captions to store.
        images: drawn pictures to choose from.
        search: how captions are found, and the vocabulary.
        source: names the reference.

    Raises:
        ExportError: another caption, a log-probability that is off by more than ``HEADROOM`` of the
            tolerance, or no picture whose caption stands the noise.
    """
    settings, symbols = search
    kept = images[_robust(candidate, images, search)[:PICTURES]]
    if not len(kept):
        raise ExportError(
            f"golden: none of {len(images)} pictures keeps its caption under a noise of "
            f"{DISTURBANCE} nats"
        )
    wanted = reference(kept)
    found = candidate.search(kept, beam_rules(settings, symbols))
    for row, (one, other) in enumerate(zip(found, wanted, strict=True)):
        _check_same(one, other, f"golden caption {row} of {source}")
    return CaptionGolden(
        images=kept,
        tokens=tuple(one.tokens for one in wanted),
        log_probabilities=tuple(one.log_probabilities for one in wanted),
        beam_width=settings.width,
        length_penalty=settings.length_penalty,
        min_tokens=settings.min_tokens,
        max_tokens=settings.max_tokens,
        atol=GOLDEN.atol,
        source=source,
    )


def _robust(
    graphs: CaptionGraphs, images: Pixels, search: tuple[BeamSettings, Sequence[str]]
) -> list[int]:
    """Rows of ``images`` whose caption stays the same under noise."""
    rules = beam_rules(*search)
    plain = graphs.search(images, rules)
    stays = [True] * len(images)
    for seed in range(_COPIES):
        for row, other in enumerate(_disturbed(graphs, seed).search(images, rules)):
            stays[row] &= np.array_equal(plain[row].tokens, other.tokens)
    return [row for row, stayed in enumerate(stays) if stayed]


def _disturbed(graphs: CaptionGraphs, seed: int) -> CaptionGraphs:
    random = np.random.default_rng(seed)

    def decode(inputs: Arrays) -> Arrays:
        outputs = dict(graphs.decode(inputs))
        scores = np.asarray(outputs[TOP_LOG_PROBABILITIES], np.float32)
        noise = random.uniform(-DISTURBANCE, DISTURBANCE, scores.shape)
        outputs[TOP_LOG_PROBABILITIES] = (scores + noise).astype(np.float32)
        return outputs

    return replace(graphs, decode=decode)


def _check_same(found: Hypothesis, wanted: Hypothesis, label: str) -> None:
    if not np.array_equal(found.tokens, wanted.tokens):
        raise ExportError(
            f"{label}: symbols {found.tokens.tolist()}, wanted {wanted.tokens.tolist()}"
        )
    difference = float(np.abs(found.log_probabilities - wanted.log_probabilities).max())
    if not difference <= HEADROOM * GOLDEN.atol:
        raise ExportError(
            f"{label}: log-probabilities differ by up to {difference:.2e}, allowed are "
            f"{HEADROOM * GOLDEN.atol:g}"
        )
