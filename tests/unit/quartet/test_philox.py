"""Random numbers from seed and place: known answers, independence of the batch, range."""

import numpy as np
import numpy.typing as npt
import pytest

from quartet.philox import philox4x32, uniforms

PI_COUNTER = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
PI_KEY = (0xA4093822, 0x299F31D0)
PI_WORDS = (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def numbers(
    seeds: list[int], streams: list[int], positions: list[int], steps: int
) -> npt.NDArray[np.float32]:
    return uniforms(
        np.array(seeds, np.uint64), np.array(streams), np.array(positions, np.int64), steps
    )


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (PI_COUNTER, PI_KEY, PI_WORDS),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_block_function_gives_the_known_answers_of_random123(
    counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]
) -> None:
    given = philox4x32(np.array(counter, np.uint32)[:, None], np.array(key, np.uint32)[:, None])
    assert given[:, 0].tolist() == list(words)


def test_uniforms_are_the_top_bits_of_the_known_answer_when_seed_and_place_are_zero() -> None:
    words = np.array([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8])
    assert numbers([0], [0], [0], 4)[0].tolist() == ((words >> 9) / 2**23).tolist()


def test_seed_is_the_key_and_stream_the_counters_high_half() -> None:
    seed, stream, position = 0xA40938228C1F31D0, 0x13198A2E, 4 * 0x05A308D3243F6A88
    counter = np.array([0x243F6A88, 0x05A308D3, stream, 0], np.uint32)[:, None]
    key = np.array([0x8C1F31D0, 0xA4093822], np.uint32)[:, None]
    words = philox4x32(counter, key)[:, 0]
    assert numbers([seed], [stream], [position], 4)[0].tolist() == ((words >> 9) / 2**23).tolist()


@pytest.mark.parametrize("split", [[16], [1] * 16, [5, 11], [3, 4, 9], [15, 1]])
@pytest.mark.parametrize("start", [0, 1, 2, 3, 2**34 - 5])
def test_uniforms_are_equal_when_the_steps_are_split(split: list[int], start: int) -> None:
    whole = numbers([7], [2], [start], 16)[0]
    parts, position = [], start
    for steps in split:
        parts.append(numbers([7], [2], [position], steps)[0])
        position += steps
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_row_is_equal_alone_and_in_a_batch() -> None:
    seeds = [3, 2**64 - 1, 3, 3, 12345678901234567890]
    streams = [0, 2**32 - 1, 1, 0, 9]
    positions = [0, 5, 0, 1, 10**12]
    batch = numbers(seeds, streams, positions, 16)
    alone = [
        numbers([s], [t], [p], 16)[0] for s, t, p in zip(seeds, streams, positions, strict=True)
    ]
    assert batch.tolist() == np.stack(alone).tolist()


def test_rows_differ_when_seed_or_stream_does() -> None:
    batch = numbers([1, 2, 1, 1 + 2**32], [0, 0, 1, 0], [0] * 4, 8)
    assert len(np.unique(batch)) == batch.size


def test_uniforms_have_23_bits_and_lie_below_one() -> None:
    drawn = numbers([11], [0], [0], 100_000)
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    assert drawn.max() <= 1 - 2**-23
    assert np.all(drawn * 2**23 == np.floor(drawn * 2**23))


def test_uniforms_fill_the_unit_interval_evenly() -> None:
    drawn = numbers(list(range(100)), [0] * 100, [0] * 100, 1000)
    counts = np.histogram(drawn, bins=100, range=(0, 1))[0]
    # 99 degrees of freedom: 149 is the 99.9 % point of the distribution; the draw is fixed.
    assert ((counts - 1000) ** 2 / 1000).sum() < 149
