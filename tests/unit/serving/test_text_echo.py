"""Prompts that are given back, and scored."""

import pytest

from serving.generation_types import (
    FinishReason,
    Usage,
    collect,
)
from serving.token_scheduler import Row
from tests.fake_generators import SYMBOLS, Generator, ids, written_alone
from tests.fake_token_scheduler import scores_after


@pytest.fixture
async def model() -> Generator:
    return Generator()


async def test_echo_gives_the_prompt_in_front_of_each_text(model: Generator) -> None:
    texts = await model.texts("abcd", max_tokens=6, n=2, echo=True)
    assert [text.text for text in texts] == [
        "abcd" + written_alone("abcd", 6, stream=index) for index in range(2)
    ]


async def test_echo_scores_the_prompt_after_what_came_before(model: Generator) -> None:
    prompt = "abcdefgh"
    (text,) = await model.texts(prompt, max_tokens=3, echo=True, logprobs=1)
    assert "".join(symbol.text for symbol in text.symbols) == text.text
    assert text.symbols[0].log_probability is None
    for place in range(1, len(prompt)):
        scores = scores_after(ids(prompt[:place]), len(SYMBOLS)).tolist()
        symbol = text.symbols[place]
        assert symbol.log_probability == scores[SYMBOLS.index(prompt[place])]
        assert list(symbol.alternatives.values()) == [max(scores)]


async def test_echo_without_symbols_to_write_scores_a_text(model: Generator) -> None:
    answer = model.start("abcdef", max_tokens=0, echo=True, logprobs=0, n=2)
    texts = await collect(answer)
    assert [text.text for text in texts] == ["abcdef"] * 2
    assert [len(text.symbols) for text in texts] == [6, 6]
    assert texts[0].finish_reason is FinishReason.LENGTH
    assert answer.usage == Usage(prompt_tokens=6, completion_tokens=0)
    assert all(job.max_tokens == 0 for job in model.scheduler.jobs if isinstance(job, Row))


@pytest.mark.parametrize(("prompt", "symbols"), [("", 0), ("a", 1)])
async def test_echo_of_a_prompt_that_nothing_scores(
    model: Generator, prompt: str, symbols: int
) -> None:
    (text,) = await model.texts(prompt, max_tokens=0, echo=True, logprobs=1)
    assert (text.text, len(text.symbols)) == (prompt, symbols)
    assert model.scheduler.jobs == []


async def test_echo_goes_with_a_beam_search(model: Generator) -> None:
    (plain,) = await model.texts("abcd", max_tokens=4, beam_width=2)
    (text,) = await model.texts("abcd", max_tokens=4, beam_width=2, echo=True, logprobs=0)
    assert text.text == "abcd" + plain.text
    assert len(text.symbols) == 8


async def test_nothing_to_write_and_nothing_to_score_needs_no_scheduler(model: Generator) -> None:
    (text,) = await model.texts(max_tokens=0)
    assert (text.text, text.finish_reason) == ("", FinishReason.LENGTH)
    assert model.scheduler.jobs == []
