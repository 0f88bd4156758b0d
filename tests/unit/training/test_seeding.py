"""Counter-based random numbers."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from training.seeding import Stream, derive_seed, make_generator, seed_modules

COUNTERS = st.tuples(st.integers(0, 2**63 - 1), st.sampled_from(Stream), st.integers(0, 10**6))


@given(place=COUNTERS)
def test_derive_seed_is_a_32_bit_function_of_the_place(place: tuple[int, Stream, int]) -> None:
    assert 0 <= derive_seed(*place) < 2**32
    assert derive_seed(*place) == derive_seed(*place)


def test_derive_seed_tells_streams_apart() -> None:
    assert len({derive_seed(1, stream, 0) for stream in Stream}) == len(Stream)


def test_derive_seed_seldom_repeats_over_a_long_run() -> None:
    seeds = {derive_seed(1, Stream.STEP, step) for step in range(20_000)}
    assert len(seeds) >= 19_998  # a birthday among 2^32 is expected 0.05 times


def test_make_generator_repeats_a_place() -> None:
    one = torch.rand(4, generator=make_generator(1, Stream.AUGMENT, 7))
    two = torch.rand(4, generator=make_generator(1, Stream.AUGMENT, 7))
    other = torch.rand(4, generator=make_generator(1, Stream.AUGMENT, 8))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_seed_modules_repeats_a_dropout_mask() -> None:
    drop = torch.nn.Dropout(0.5)
    masks = []
    for rank in (0, 0, 1):
        seed_modules(1, Stream.STEP, 3, rank)
        masks.append(drop(torch.ones(64)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
