"""Requests become rows, and rows become texts; the scheduler is a fake."""

from dataclasses import replace
from typing import Any

import pytest

from serving.errors import (
    Conflict,
    InvalidInput,
    QueueFull,
)
from serving.generation_types import (
    FinishedText,
    FinishReason,
    GenerateRequest,
    Replacement,
    Usage,
    collect,
)
from serving.receipts import SEED_BITS
from serving.token_scheduler import Row
from tests.fake_generators import ENDLESS, SYMBOLS, TASK, Generator, ids, written_alone
from tests.fake_token_scheduler import scores_after


@pytest.fixture
async def model() -> Generator:
    return Generator()


# --- one text ------------------------------------------------------------------------------------


async def test_a_text_is_what_the_rows_symbols_spell(model: Generator) -> None:
    (text,) = await model.texts(max_tokens=10)
    assert text.text == written_alone("abc", 10)
    assert (text.finish_reason, text.symbols) == (FinishReason.LENGTH, ())


async def test_a_text_comes_in_one_piece_a_run(model: Generator) -> None:
    pieces = [piece async for piece in model.start(max_tokens=10)]
    assert [len(piece.text) for piece in pieces] == [4, 4, 2]
    assert [piece.finish_reason for piece in pieces] == [None, None, FinishReason.LENGTH]


async def test_without_a_prompt_the_model_reads_its_beginning(model: Generator) -> None:
    assert await model.text("", max_tokens=6) == written_alone("\n", 6)


async def test_a_prompt_may_be_ids(model: Generator) -> None:
    answer = model.start("", prompt_ids=tuple(ids("abc")), max_tokens=6)
    assert answer.prompt == "abc"
    assert (await collect(answer))[0].text == written_alone("abc", 6)


async def test_a_text_ends_at_a_stop_symbol() -> None:
    model = Generator(TASK)
    (text,) = await model.texts(max_tokens=200)
    whole = written_alone("abc", 200)
    assert text.text == whole[: whole.index("$")]
    assert text.finish_reason is FinishReason.STOP


async def test_a_text_ends_at_a_stop_string(model: Generator) -> None:
    whole = written_alone("abc", 40)
    stop = whole[17:22]
    answer = model.start(max_tokens=40, stop=("never", stop))
    (text,) = await collect(answer)
    assert (text.text, text.finish_reason) == (whole[: whole.index(stop)], FinishReason.STOP)
    assert answer.usage == Usage(prompt_tokens=3, completion_tokens=whole.index(stop) + 5)


async def test_sampling_reaches_the_row(model: Generator) -> None:
    model.start(temperature=0.5, top_k=3, deadline=9.0, client="c")
    (row,) = model.scheduler.jobs
    assert isinstance(row, Row)
    assert (row.sampling.temperature, row.sampling.top_k) == (0.5, 3)
    assert (row.deadline, row.client, row.keep_state) == (9.0, "c", False)


async def test_the_answer_tells_what_was_replaced(model: Generator) -> None:
    answer = model.start("A\u4e2db")
    assert answer.replaced == (Replacement("A", "a", 1), Replacement("\u4e2d", "", 1))
    assert answer.prompt == "ab"


async def test_log_probabilities_are_the_models(model: Generator) -> None:
    (text,) = await model.texts(max_tokens=5, logprobs=2)
    assert "".join(symbol.text for symbol in text.symbols) == text.text
    history = ids("abc")
    for symbol in text.symbols:
        scores = scores_after(history, len(SYMBOLS)).tolist()
        assert symbol.log_probability == scores[SYMBOLS.index(symbol.text)]
        likeliest = sorted(range(len(scores)), key=lambda index: -scores[index])[:2]
        assert symbol.alternatives == {SYMBOLS[i]: scores[i] for i in likeliest}
        history += ids(symbol.text)


# --- seeds and receipts --------------------------------------------------------------------------


async def test_without_a_seed_one_is_drawn_that_every_reader_of_json_keeps(
    model: Generator,
) -> None:
    seeds = {model.start(seed=None).receipt.seed for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**SEED_BITS for seed in seeds)


async def test_a_receipt_gives_the_same_text_again(model: Generator) -> None:
    answer = model.start(seed=None, max_tokens=20)
    (first,) = await collect(answer)
    assert answer.receipt == replace(answer.receipt, version="3", precision="int8", model="m")
    assert await model.text(seed=None, receipt=answer.receipt, max_tokens=20) == first.text


async def test_a_receipt_of_other_weights_is_refused(model: Generator) -> None:
    receipt = replace(model.start().receipt, sha256="cd" * 32)
    with pytest.raises(Conflict, match="sha256 is"):
        model.start(receipt=receipt)


async def test_a_seed_that_contradicts_the_receipt_is_refused(model: Generator) -> None:
    receipt = model.start(seed=5).receipt
    with pytest.raises(InvalidInput, match="seed: 6 differs from the receipt's 5"):
        model.start(seed=6, receipt=receipt)


async def test_a_receipts_seed_out_of_range_is_refused(model: Generator) -> None:
    receipt = replace(model.start().receipt, seed=-1)
    with pytest.raises(InvalidInput, match=r"receipt\.seed: expected 0 to"):
        model.start(seed=None, receipt=receipt)


# --- several texts -------------------------------------------------------------------------------


async def test_texts_of_one_seed_do_not_depend_on_how_many_there_are(model: Generator) -> None:
    alone = await model.text(max_tokens=12)
    many = await model.texts(max_tokens=12, n=5)
    assert [text.text for text in many] == [
        written_alone("abc", 12, stream=index) for index in range(5)
    ]
    assert many[0].text == alone
    assert len({text.text for text in many}) == 5


async def test_texts_of_one_request_share_its_prompt(model: Generator) -> None:
    model.start(n=3)
    prompts = {id(job.prompt) for job in model.scheduler.jobs}
    assert len(prompts) == 1


async def test_best_of_gives_the_texts_of_highest_mean_log_probability(model: Generator) -> None:
    all_texts = await model.texts(max_tokens=9, n=6, logprobs=0)
    answer = model.start(max_tokens=9, n=2, best_of=6)
    best = await collect(answer)

    def mean(text: FinishedText) -> float:
        return sum(symbol.log_probability or 0 for symbol in text.symbols) / len(text.symbols)

    expected = sorted(all_texts, key=mean, reverse=True)[:2]
    assert [text.text for text in best] == [text.text for text in expected]
    assert [text.index for text in best] == [0, 1]
    assert answer.usage.completion_tokens == 6 * 9
    assert model.sample("texts_total", reason="length") == 12


async def test_best_of_as_many_as_are_wanted_is_streamed(model: Generator) -> None:
    pieces = [piece async for piece in model.start(max_tokens=8, n=2, best_of=2)]
    assert [piece.index for piece in pieces] == [0, 1, 0, 1]


async def test_a_beam_search_gives_the_best_first(model: Generator) -> None:
    answer = model.start(max_tokens=6, beam_width=4, n=3, logprobs=1)
    texts = await collect(answer)
    sums = [sum(symbol.log_probability or 0 for symbol in text.symbols) for text in texts]
    assert len(texts) == 3
    assert sums == sorted(sums, reverse=True)
    assert {len(text.text) for text in texts} == {6}
    assert model.sample("texts_total", reason="length") == 3


async def test_a_beam_of_width_one_takes_the_likeliest_symbols(model: Generator) -> None:
    history = ids("abc")
    for _ in range(7):
        history.append(int(scores_after(history, len(SYMBOLS)).argmax()))
    text = await model.text(max_tokens=7, beam_width=1)
    assert ids(text) == history[3:]


async def test_a_beam_search_may_find_fewer_texts_than_wanted() -> None:
    model = Generator()
    answer = model.generator.start(
        GenerateRequest(model_name="m", prompt="a", max_tokens=1, beam_width=5, n=5, seed=1)
    )
    assert len(await collect(answer)) == 5
    model.scheduler.top = 2
    small = model.start("a", max_tokens=1, beam_width=5, n=5)
    job = model.scheduler.jobs[-1]
    assert not isinstance(job, Row)
    job.top = 2
    assert len(await collect(small)) == 2


async def test_a_beam_searchs_texts_end_before_a_stop_string(model: Generator) -> None:
    (whole,) = await model.texts(max_tokens=8, beam_width=1)
    (text,) = await model.texts(max_tokens=8, beam_width=1, stop=(whole.text[3:5],))
    assert (text.text, text.finish_reason) == (
        whole.text[: whole.text.index(whole.text[3:5])],
        FinishReason.STOP,
    )


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"prompt": "\u4e2d", "unknown": "refuse"}, "characters outside the model's vocabulary"),
        ({"prompt": "", "prompt_ids": (1, 17)}, "prompt: expected ids of 0 to 16, got 17"),
        ({"prompt": "", "prompt_ids": (-1,)}, "prompt: expected ids of 0 to 16, got -1"),
        ({"prompt": "a", "prompt_ids": (1,)}, "leave it out or leave out the symbols' ids"),
        ({"prompt": "a" * 100_001}, "prompt: expected at most 100000 characters, got 100001"),
        (
            {"prompt": "", "prompt_ids": (1,) * 100_001},
            "prompt: expected at most 100000 symbols, got 100001",
        ),
        ({"prompt": "\u00bd" * 50_000}, "prompt: expected at most 100000 symbols"),
        ({"logprobs": 6}, "logprobs: expected 0 to 5, got 6"),
        ({"beam_width": 6}, "beam_width: expected 1 to 5, got 6"),
    ],
)
async def test_a_request_that_contradicts_the_model_is_refused(
    fields: dict[str, Any], complaint: str
) -> None:
    task = ENDLESS.model_copy(update={"vocabulary": (*SYMBOLS[:-4], "1", "/", "2", "$")})
    model = Generator(task)
    with pytest.raises(InvalidInput) as refused:
        model.start(**fields)
    assert complaint in refused.value.message
    assert model.scheduler.jobs == []


async def test_a_full_queue_refuses_the_request(model: Generator) -> None:
    model.scheduler.refusal = QueueFull("full")
    with pytest.raises(QueueFull):
        model.start()


async def test_more_log_probabilities_than_fit_are_refused(model: Generator) -> None:
    with pytest.raises(InvalidInput, match="logprobs: 256000 numbers would have to be kept"):
        model.start(max_tokens=1000, logprobs=1, n=128)
