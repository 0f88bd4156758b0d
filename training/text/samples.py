"""Text written by a model in PyTorch, under the definition that the served graphs follow.

The random numbers are those of the server (``quartet.philox``) and so is the rule of drawing
(``quartet.generation``), so the same seed gives the same text here and there, until the last bit
of some sum falls the other way: PyTorch and ONNX Runtime do not add in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from quartet.generation import TEMPERATURE, TOP_K, TOP_P
from quartet.philox import uniforms
from training.graphs.reference import Ids, draw, neutral_controls
from training.text.data import encode
from training.text.model import CharModel

TEMPERATURES = (0.5, 0.8, 1.0)
"""Of a sample sheet: careful, usual, the model's own distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """Texts to be written at once, one for each temperature given."""

    temperatures: Sequence[float]
    """>= 0 each; 0 always takes the likeliest symbol."""
    length: int
    """Symbols of each text, >= 1."""
    prompt: str = ""
    """What every text continues, in characters of the vocabulary; empty: ``begin_symbol``."""
    top_k: int = 0
    """Draw from the k likeliest symbols; 0: from all."""
    top_p: float = 1.0
    """Draw from the likeliest symbols whose probabilities reach this sum."""
    seed: int = 0
    """0 .. 2**64 - 1."""


@torch.inference_mode()
def sample(model: CharModel, request: SampleRequest) -> Ids:
    """Indices [texts, length] of the texts, without the prompt.

    Text i draws the numbers of ``request.seed`` and stream i. ``model`` should be in eval mode on
    the CPU. Raises ValueError for a prompt that the vocabulary cannot write.
    """
    rows = len(request.temperatures)
    prompt = _prompt_ids(model, request.prompt or begin_symbol(model.symbols))
    read = torch.from_numpy(prompt).expand(rows, -1)
    state = model.initial_state(rows)
    if len(prompt) > 1:
        _, state = model(read[:, :-1], state)
    controls = neutral_controls(rows) | {
        TEMPERATURE: np.array(request.temperatures, np.float32),
        TOP_K: np.full(rows, request.top_k, np.int64),
        TOP_P: np.full(rows, request.top_p, np.float32),
    }
    numbers = uniforms(
        np.full(rows, request.seed, np.uint64),
        np.arange(rows),
        np.zeros(rows, np.int64),
        request.length,
    )
    counts = np.zeros((rows, len(model.code_points)), np.float32)
    written = np.empty((rows, request.length), np.int64)
    token = read[:, -1:]
    for step in range(request.length):
        scores, state = model(token, state)
        written[:, step] = draw(scores[:, 0].numpy(), counts, controls, numbers[:, step])
        token = torch.from_numpy(written[:, step, None])
    return written


def begin_symbol(symbols: Sequence[str]) -> str:
    """What a model of this vocabulary reads first where there is no prompt.

    A line's end, after which anything may begin; a space or the first symbol where there is none.
    """
    return next((symbol for symbol in "\n " if symbol in symbols), symbols[0])


def decode(model: CharModel, ids: Ids) -> str:
    """The text of indices [length]."""
    return "".join(map(chr, model.code_points.numpy()[ids].tolist()))


def sample_sheet(
    model: CharModel,
    *,
    prompt: str = "",
    temperatures: Sequence[float] = TEMPERATURES,
    length: int = 400,
    seed: int = 0,
) -> str:
    """Markdown with one text for each temperature; the first draws, nothing is picked."""
    request = SampleRequest(prompt=prompt, temperatures=temperatures, length=length, seed=seed)
    parts = []
    for number, (temperature, ids) in enumerate(
        zip(temperatures, sample(model, request), strict=True)
    ):
        # An indented block, for the text may hold any fence.
        lines = decode(model, ids).strip("\n").split("\n")
        block = "\n".join(f"    {line}".rstrip() for line in lines)
        parts.append(f"Temperature {temperature:g} (seed {seed}, text {number}):\n\n{block}")
    return "\n\n".join(parts)


def _prompt_ids(model: CharModel, prompt: str) -> Ids:
    points = np.frombuffer(prompt.encode("utf-32-le"), "<u4").astype(np.uint32)
    return encode(points, model.code_points.numpy().astype(np.uint32))
