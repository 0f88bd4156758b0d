"""Captions as rows of numbers, and which of them make up which batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.caption.objective import IGNORED
from training.data.batches import epoch_order, steps_per_epoch
from training.data.caption_text import BEGIN, END, UNKNOWN, encode, tokenize


@dataclass(frozen=True, slots=True)
class EncodedCaptions:
    """All training captions, one row each."""

    picture: Tensor
    """int64 [N], the picture of each caption; ascending."""
    tokens: Tensor
    """int64 [N, T + 1]: the beginning, the words, the end, then ends as padding."""
    length: Tensor
    """int64 [N], symbols with the beginning and the end."""
    unknown: int
    """Number of the unknown word."""


def encode_captions(
    captions: Sequence[Sequence[str]], symbols: Sequence[str], max_words: int
) -> EncodedCaptions:
    """Number the words of each picture's captions, of each at most ``max_words``."""
    index = {symbol: number for number, symbol in enumerate(symbols)}
    rows, pictures = [], []
    for picture, texts in enumerate(captions):
        for text in texts:
            words = encode(tokenize(text)[:max_words], index)
            rows.append([index[BEGIN], *words, index[END]])
            pictures.append(picture)
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [index[END]] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return EncodedCaptions(torch.tensor(pictures), tokens, lengths, index[UNKNOWN])


class CaptionBatches:
    """Batches of captions: any, or all captions of a few pictures.

    Args:
        captions: to be drawn from.
        batch_size: captions of a batch.
        seed: of the run.
        whole_pictures: let a batch hold all captions of its pictures, so that an encoder that
            learns sees each picture once an epoch; all pictures must then have as many captions.
    """

    def __init__(
        self, captions: EncodedCaptions, batch_size: int, seed: int, *, whole_pictures: bool
    ) -> None:
        self._captions = captions
        self._seed = seed
        self._together = 1
        if whole_pictures:
            self._together = int((captions.picture == captions.picture[0]).sum())
        self._groups = len(captions.picture) // self._together
        self._groups_a_batch = max(1, batch_size // self._together)
        self.steps_per_epoch = steps_per_epoch(self._groups, self._groups_a_batch)
        self.unknown = captions.unknown
        self._order: tuple[int, Tensor] | None = None

    def rows(self, step: int) -> tuple[Tensor, Tensor]:
        """Pictures and captions of batch ``step`` of the run, int64 [B] each, longest first."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, epoch_order(self._seed, epoch, self._groups))
        size = self._groups_a_batch
        groups = self._order[1][index * size : (index + 1) * size]
        offsets = torch.arange(self._together)
        captions = (groups.unsqueeze(1) * self._together + offsets).flatten()
        lengths = self._captions.length[captions]
        captions = captions[lengths.argsort(descending=True, stable=True)]
        return self._captions.picture[captions], captions

    def words(self, captions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is read and what comes next, int64 [B, T] each, cut to the longest of the batch.

        Nothing is to be learnt of unknown words and of what stands behind the end.

        Returns:
            Both, and how many words of each caption are read, int64 [B].
        """
        lengths = self._captions.length[captions]
        tokens = self._captions.tokens[captions, : int(lengths.max())]
        wanted = tokens[:, 1:].clone()
        places = torch.arange(1, tokens.shape[1])
        wanted[places >= lengths.unsqueeze(1)] = IGNORED
        wanted[wanted == self.unknown] = IGNORED
        return tokens[:, :-1], wanted, lengths - 1
