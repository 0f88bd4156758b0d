"""Random numbers of generated text: a function of seed and place, without any state.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3",
section 3.3) turns a counter of four words into four random words under a key of two. The layout is
the one that cuRAND uses: the key is the seed, the counter's low half the position divided by four,
its high half the stream; the position's remainder picks one of the four words. So a text draws the
same numbers alone and in any batch, however its symbols are divided among runs.
"""

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]

_ROUNDS = 10
_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_KEY_STEPS = np.outer(np.arange(_ROUNDS), [0x9E3779B9, 0xBB67AE85]).astype(np.uint32)
"""What the key has grown by in each round [rounds, 2]."""
_UNUSED_BITS = np.uint32(9)
_UNIT = np.float32(2.0**-23)


def uniforms(
    seeds: npt.NDArray[np.uint64],
    streams: npt.NDArray[np.integer],
    positions: npt.NDArray[np.int64],
    steps: int,
) -> npt.NDArray[np.float32]:
    """Uniform numbers of some texts, from ``positions`` on.

    They are multiples of 2**-23 in [0, 1 - 2**-23]: with so few bits a product ``u * total`` in
    float32 is below ``total``, so an inverse distribution function never runs past its end.

    Args:
        seeds: of each text [B].
        streams: which of the texts of that seed [B], in [0, 2**32).
        positions: place of the first number in its text [B], >= 0.
        steps: numbers of each text, >= 1.

    Returns:
        [B, steps]; number j of row i depends on seed i, stream i and position i + j alone.
    """
    first = positions.astype(np.uint64)[:, None]
    blocks = (steps + 2) // 4 + 1
    counter = np.zeros((len(seeds), blocks, 4), "<u4")
    counter.view("<u8")[..., 0] = (first >> np.uint64(2)) + np.arange(blocks, dtype=np.uint64)
    counter[..., 2] = streams[:, None]
    key = seeds.astype("<u8", copy=False).view("<u4").reshape(-1, 2).T[..., None]
    words = philox4x32(counter.transpose(2, 0, 1), key)
    numbers = words.transpose(1, 2, 0).reshape(len(seeds), 4 * blocks)
    rows, columns = np.arange(len(seeds))[:, None], (positions & 3)[:, None] + np.arange(steps)
    drawn: npt.NDArray[np.uint32] = numbers[rows, columns] >> _UNUSED_BITS
    return drawn.astype(np.float32) * _UNIT


def philox4x32(counter: Words, key: Words) -> Words:
    """The block function, ten rounds.

    Args:
        counter: [4, ...] words; word 0 is the least significant.
        key: [2, ...] words; its further axes broadcast to the counter's.

    Returns:
        Random words, shaped as ``counter``.
    """
    ones = (1,) * (counter.ndim - 1)
    keys = key + _KEY_STEPS.reshape(_ROUNDS, 2, *ones)
    multipliers = _MULTIPLIERS.reshape(2, *ones)
    even, odd = counter[0::2], counter[1::2]
    # Each product's two halves are read in place; views cost less than shifts and masks.
    products = np.empty((_ROUNDS, *even.shape), "<u8")
    halves = products.view("<u4").reshape(_ROUNDS, *even.shape, 2)[:, ::-1]
    for product, half, round_key in zip(products, halves, keys, strict=True):
        np.multiply(even, multipliers, out=product)
        even, odd = half[..., 1] ^ odd ^ round_key, half[..., 0]
    words = np.empty(counter.shape, np.uint32)
    words[0::2], words[1::2] = even, odd
    return words
