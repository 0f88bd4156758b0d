"""Captions as numbers, in batches."""

import torch

from training.caption.batches import CaptionBatches, encode_captions
from training.caption.objective import IGNORED
from training.data.caption_text import BEGIN, END, UNKNOWN

SYMBOLS = (BEGIN, END, UNKNOWN, "a", "dog", "runs")
CAPTIONS = (("A dog runs .", "a cat"), ("dog", "a dog"))


def test_a_caption_is_read_from_its_beginning_and_ends_with_the_end() -> None:
    encoded = encode_captions(CAPTIONS, SYMBOLS, 10)
    assert encoded.tokens[0].tolist() == [0, 3, 4, 5, 1]
    assert encoded.length.tolist() == [5, 4, 3, 4]
    assert encoded.picture.tolist() == [0, 0, 1, 1]


def test_nothing_is_learnt_behind_the_end_or_of_unknown_words() -> None:
    batches = CaptionBatches(encode_captions(CAPTIONS, SYMBOLS, 10), 4, 1, whole_pictures=False)
    read, wanted, lengths = batches.words(torch.tensor([1, 2]))
    assert lengths.tolist() == [3, 2]
    assert read.tolist() == [[0, 3, 2], [0, 4, 1]]
    assert wanted.tolist() == [[3, IGNORED, 1], [4, 1, IGNORED]]


def test_long_captions_are_cut_and_still_end() -> None:
    encoded = encode_captions([("a dog runs a dog",)], SYMBOLS, 2)
    assert encoded.tokens.tolist() == [[0, 3, 4, 1]]


def test_an_epoch_shows_every_caption_once() -> None:
    encoded = encode_captions([("a", "dog")] * 8, SYMBOLS, 4)
    batches = CaptionBatches(encoded, 4, 1, whole_pictures=False)
    seen = torch.cat([batches.rows(step)[1] for step in range(batches.steps_per_epoch)])
    assert sorted(seen.tolist()) == list(range(16))


def test_long_captions_stand_first() -> None:
    batches = CaptionBatches(encode_captions(CAPTIONS, SYMBOLS, 10), 4, 1, whole_pictures=False)
    _, _, lengths = batches.words(batches.rows(0)[1])
    assert lengths.tolist() == [4, 3, 3, 2]


def test_whole_pictures_stay_together() -> None:
    encoded = encode_captions([("a", "dog")] * 8, SYMBOLS, 4)
    batches = CaptionBatches(encoded, 4, 1, whole_pictures=True)
    assert batches.steps_per_epoch == 4
    pictures, captions = batches.rows(1)
    assert pictures.tolist() == [int(c) // 2 for c in captions]
    assert len(set(pictures.tolist())) == 2


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    encoded = encode_captions([("a", "dog")] * 8, SYMBOLS, 4)
    first = CaptionBatches(encoded, 4, 1, whole_pictures=False)
    for step in range(6):
        first.rows(step)
    again = CaptionBatches(encoded, 4, 1, whole_pictures=False)
    assert first.rows(5)[1].tolist() == again.rows(5)[1].tolist()
    assert (
        CaptionBatches(encoded, 4, 2, whole_pictures=False).rows(5)[1].tolist()
        != again.rows(5)[1].tolist()
    )
