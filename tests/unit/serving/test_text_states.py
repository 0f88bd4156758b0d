"""Texts whose state is kept, and texts that go on with one."""

import pytest

from serving.generation_types import (
    GenerateRequest,
    collect,
)
from serving.session_types import TextState
from tests.fake_generators import SYMBOLS, Generator, ids, written_alone
from tests.fake_token_scheduler import scores_after


@pytest.fixture
async def model() -> Generator:
    return Generator()


@pytest.mark.parametrize("lengths", [(30,), (1, 29), (13, 0, 17), (4, 4, 22), (10, 10, 10)])
async def test_a_text_gone_on_with_is_that_of_one_request(
    model: Generator, lengths: tuple[int, ...]
) -> None:
    parts = []
    _, state = await model.kept("abc", max_tokens=0, seed=5)
    for length in lengths:
        part, state = await model.kept("", state, max_tokens=length)
        parts.append(part)
    assert "".join(parts) == written_alone("abc", 30)
    assert (state.symbols, state.position, state.seed) == (33, 30, 5)
    assert state.text == "abc" + written_alone("abc", 30)
    assert state.token == ids(state.text[-1])[0]


async def test_a_kept_text_may_get_a_new_prompt(model: Generator) -> None:
    first, state = await model.kept("abc", max_tokens=5, seed=5)
    second, _ = await model.kept("def", state, max_tokens=7)
    assert second == written_alone("abc" + first + "def", 7, position=5)


async def test_a_kept_text_goes_on_behind_what_stopped_it(model: Generator) -> None:
    whole = written_alone("abc", 30)
    stop = whole[10:12]
    first, state = await model.kept("abc", max_tokens=30, seed=5, stop=(stop,))
    assert first == whole[: whole.index(stop)]
    second, _ = await model.kept("", state, max_tokens=5)
    end = whole.index(stop) + 2
    assert second == whole[end : end + 5]


async def test_another_seed_goes_on_at_the_same_position(model: Generator) -> None:
    first, state = await model.kept("abc", max_tokens=5, seed=5)
    second, after = await model.kept("", state, max_tokens=6, seed=8)
    assert second == written_alone("abc" + first, 6, seed=8, position=5)
    assert after.seed == 8


async def test_the_last_piece_comes_behind_the_state(model: Generator) -> None:
    states: list[TextState] = []
    request = GenerateRequest(model_name="m", prompt="abc", max_tokens=6, seed=5)
    answer = model.generator.start(request, keep=states.append)
    seen = [(piece.text, len(states)) async for piece in answer]
    assert seen[-1] == ("", 1)


async def test_echo_of_a_text_gone_on_with_scores_all_of_its_prompt(model: Generator) -> None:
    _, state = await model.kept("abc", max_tokens=5, seed=5)
    answer = model.start("def", resumed=state, max_tokens=0, echo=True, logprobs=0)
    (text,) = await collect(answer)
    scores = scores_after(ids(state.text), len(SYMBOLS)).tolist()
    assert text.text == "def"
    assert text.symbols[0].log_probability == scores[SYMBOLS.index("d")]
