"""A text as parallel streams, and the state that is carried along them from step to step.

Truncated back-propagation through time (Williams, Peng 1990): the text is cut into as many equal
streams as the batch has rows. Step i takes characters i T to (i+1) T of each and predicts those one
place later; the state goes on to the next step, the gradient does not go back. An epoch begins at a
random place of the text, taken as a ring, with zero states; so no two epochs cut it alike.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.seeding import Stream, make_generator
from training.text.model import CharModel, State

_NO_TARGET = -100
"""Of the places that fill the last stream up; ``cross_entropy`` passes over them."""


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """How a training text of ``characters`` is cut."""

    characters: int
    """Length of the text; more than ``streams * length``."""
    streams: int
    """Rows of the joint batch."""
    length: int
    """Characters of a stream in one step."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole steps of an epoch; the rest of each stream is left out, another rest each epoch."""
        return self.characters // self.streams // self.length

    def batch(self, text: Tensor, start: int, index: int, rows: slice) -> tuple[Tensor, Tensor]:
        """Inputs and targets, int64 [rows, length] each, of step ``index`` of an epoch.

        Args:
            text: indices [characters].
            start: ``epoch_start`` of the epoch.
            index: step of the epoch, from 0.
            rows: streams wanted.
        """
        stride = self.characters // self.streams
        streams = torch.arange(self.streams, device=text.device)[rows, None]
        steps = torch.arange(self.length + 1, device=text.device)
        places = (start + streams * stride + index * self.length + steps) % self.characters
        block = text[places].long()
        return block[:, :-1], block[:, 1:]


def epoch_start(seed: int, epoch: int, characters: int) -> int:
    """Where epoch ``epoch`` begins in a text of ``characters``: uniform, drawn anew each time."""
    generator = make_generator(seed, Stream.ORDER, epoch)
    return int(torch.randint(characters, (), generator=generator))


class CarriedState(nn.Module):
    """The state between two training steps, of all streams of the joint batch.

    A module, so that a checkpoint keeps it. It also holds the SHA-256 of the text, and refuses to
    be loaded for another one: to resume there would give the indices another meaning.

    Args:
        model: whose state is carried.
        streams: rows of the joint batch.
        checksum: SHA-256 of the text, hexadecimal.
    """

    checksum: Tensor

    def __init__(self, model: CharModel, streams: int, checksum: str) -> None:
        super().__init__()
        self._names = model.state_names
        for name, zeros in zip(self._names, model.initial_state(streams), strict=True):
            self.register_buffer(name, zeros)
        self.register_buffer("checksum", torch.tensor(list(bytes.fromhex(checksum))))
        self.register_load_state_dict_pre_hook(_check_same_text)  # type: ignore[no-untyped-call]  # untyped in PyTorch

    def read(self, rows: slice) -> State:
        """The state of some streams."""
        return tuple(self.get_buffer(name)[rows] for name in self._names)

    def reset(self) -> None:
        """All streams begin anew."""
        for name in self._names:
            self.get_buffer(name).zero_()

    def keep(self, state: State, rows: slice, add: Callable[[Tensor], Tensor]) -> None:
        """Take over the state of this process's ``rows``, and those of the other processes.

        ``add`` sums a tensor over all processes; each gives zeros for the rows of the others, so
        every process, and any checkpoint, holds the state of the joint batch.
        """
        for name, part in zip(self._names, state, strict=True):
            joint = torch.zeros_like(self.get_buffer(name))
            joint[rows] = part.detach().to(joint.dtype)
            self.get_buffer(name).copy_(add(joint))


def _check_same_text(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Called before ``CarriedState`` is loaded. Raises RuntimeError as ``load_state_dict`` does."""
    stored, own = state.get(f"{prefix}checksum"), module.get_buffer("checksum")
    if stored is not None and stored.tolist() != own.tolist():
        raise RuntimeError(
            f"the run was trained on a text of SHA-256 {bytes(stored.tolist()).hex()}, "
            f"this one has {bytes(own.tolist()).hex()}"
        )


def cut_streams(ids: Tensor, streams: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets [streams, L] that predict each of ``ids`` but the first exactly once.

    Fewer streams where there are fewer predictions. The last stream is filled up with targets of
    -100. Raises ValueError for a text of less than two characters.
    """
    predictions = len(ids) - 1
    if predictions < 1:
        raise ValueError(f"expected at least two characters, got {len(ids)}")
    length = -(-predictions // min(streams, predictions))
    rows = -(-predictions // length)
    missing = rows * length - predictions
    inputs = functional.pad(ids[:-1].long(), (0, missing))
    targets = functional.pad(ids[1:].long(), (0, missing), value=_NO_TARGET)
    return inputs.view(rows, length), targets.view(rows, length)


def summed_loss(
    model: CharModel,
    streams: tuple[Tensor, Tensor],
    piece: int,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Tensor:
    """Sum of -ln p over the targets of ``cut_streams``, float64, each stream from a zero state.

    ``piece``: characters of a stream in one pass, with the state carried to the next.
    """
    inputs, targets = streams
    state = model.initial_state(len(inputs))
    total = torch.zeros((), dtype=torch.float64, device=inputs.device)
    pieces = (torch.split(inputs, piece, dim=1), torch.split(targets, piece, dim=1))
    for ids, wanted in zip(*pieces, strict=True):
        with autocast():
            logits, state = model(ids, state)
        total += functional.cross_entropy(
            logits.float().flatten(0, 1),
            wanted.flatten(),
            ignore_index=_NO_TARGET,
            reduction="sum",
        ).double()
    return total


@torch.inference_mode()
def stream_loss(model: CharModel, ids: Tensor, streams: int = 16, piece: int = 512) -> float:
    """Mean of -ln p(character | those before it), nats, over every character but the first.

    The text is read as ``streams`` parallel streams, the state carried through each from zero.
    ``model`` should be in eval mode and on the device of ``ids``.
    """
    return float(summed_loss(model, cut_streams(ids, streams), piece)) / (len(ids) - 1)
