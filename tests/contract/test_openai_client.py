"""The ``openai`` package against the running server, as its users call it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Completion, CompletionChoice
from openai.types.completion_choice import Logprobs

from tests.e2e.fixtures import StartServer
from tests.e2e.process import ServerProcess, wait_until
from tests.text_models import VOCABULARY, make_text_model

pytestmark = pytest.mark.e2e
MODEL = "tiny"
ENDLESS = 100_000
"""Symbols: more than a test could read."""


@pytest.fixture
def client(text_server: ServerProcess) -> Iterator[OpenAI]:
    """A client that does not try again."""
    url = f"http://{text_server.http_address}/v1"
    with OpenAI(base_url=url, api_key="any", max_retries=0) as connected:
        yield connected


@pytest.fixture
async def async_client(text_server: ServerProcess) -> AsyncIterator[AsyncOpenAI]:
    """The same for asyncio."""
    url = f"http://{text_server.http_address}/v1"
    async with AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as connected:
        yield connected


def write(client: OpenAI, **fields: Any) -> Completion:
    """One whole answer."""
    answer = client.completions.create(**{"model": MODEL, "prompt": "the", "seed": 1, **fields})
    assert isinstance(answer, Completion)
    return answer


def texts(answer: Completion) -> list[str]:
    return [choice.text for choice in answer.choices]


def streamed(client: OpenAI, **fields: Any) -> tuple[dict[int, str], list[Completion]]:
    """The texts of a stream by their index, and its chunks."""
    asked = {"model": MODEL, "prompt": "the", "seed": 1, **fields}
    chunks = list(client.completions.create(**asked, stream=True))
    found: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            found[choice.index] = found.get(choice.index, "") + choice.text
    return found, chunks


def logprobs_of(choice: CompletionChoice) -> Logprobs:
    assert choice.logprobs is not None
    return choice.logprobs


def generating(server: ServerProcess, state: str = "active") -> float:
    """Rows that hold a slot, or wait for one."""
    return server.metric("quartet_generation_rows", state=state, model=MODEL)


def test_whole_answer_has_every_field_of_the_api(client: OpenAI) -> None:
    answer = write(client)
    (choice,) = answer.choices
    assert answer.id.startswith("cmpl-")
    assert (answer.object, answer.model) == ("text_completion", MODEL)
    assert answer.created > 1_600_000_000
    assert answer.system_fingerprint
    assert len(choice.text) == 16
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 16)
    assert answer.usage.total_tokens == 19


def test_same_seed_gives_the_same_text_whole_or_streamed(client: OpenAI) -> None:
    alone = texts(write(client, max_tokens=50))
    assert texts(write(client, max_tokens=50)) == alone
    assert streamed(client, max_tokens=50)[0] == {0: alone[0]}
    assert texts(write(client, max_tokens=50, seed=2)) != alone


async def test_same_seed_gives_the_same_text_in_a_crowd(
    client: OpenAI, async_client: AsyncOpenAI
) -> None:
    def ask(seed: int) -> Any:
        return async_client.completions.create(
            model=MODEL, prompt="the", seed=seed, max_tokens=40 + seed
        )

    crowd = await asyncio.gather(*(ask(seed) for seed in range(24)))
    for seed in (0, 7, 23):
        assert texts(write(client, seed=seed, max_tokens=40 + seed)) == texts(crowd[seed])


def test_receipt_gives_the_same_bytes_again(client: OpenAI) -> None:
    first = client.completions.create(
        model=MODEL, prompt=["a", "a"], n=2, temperature=1.3, max_tokens=30
    )
    assert first.model_extra is not None
    again = client.completions.create(
        model=MODEL,
        prompt=["a", "a"],
        n=2,
        temperature=1.3,
        max_tokens=30,
        extra_body={"receipt": first.model_extra["receipt"]},
    )
    assert texts(again) == texts(first)
    assert len(set(texts(first))) == 4


def test_receipt_of_another_model_is_a_conflict(client: OpenAI) -> None:
    answer = write(client, model="newer")
    assert answer.model_extra is not None
    with pytest.raises(openai.ConflictError):
        write(client, seed=None, extra_body={"receipt": answer.model_extra["receipt"]})


def test_choices_are_prompt_times_n_plus_text(client: OpenAI) -> None:
    answer = write(client, prompt=["a", "b"], n=2, seed=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert texts(answer)[:2] == texts(write(client, prompt="a", n=2, seed=5))
    assert texts(answer)[2:] == texts(write(client, prompt="b", n=2, seed=6))
    assert streamed(client, prompt=["a", "b"], n=2, seed=5)[0] == dict(enumerate(texts(answer)))


def test_prompt_may_be_ids_of_symbols(client: OpenAI) -> None:
    ids = [VOCABULARY.index(character) for character in "the"]
    alone = texts(write(client))
    assert texts(write(client, prompt=ids)) == alone
    assert texts(write(client, prompt=[ids, ids])) == alone + texts(write(client, seed=2))
    with pytest.raises(openai.BadRequestError) as error:
        write(client, prompt=[len(VOCABULARY)])
    assert error.value.param == "prompt"


def test_temperature_zero_is_greedy(client: OpenAI) -> None:
    assert texts(write(client, temperature=0)) == texts(write(client, temperature=0, seed=9))


def test_stop_string_ends_the_text_and_is_not_part_of_it(client: OpenAI) -> None:
    (text,) = texts(write(client, max_tokens=60))
    stop = text[20:24]
    for given in (stop, [stop], ["#never", stop]):
        answer = write(client, max_tokens=60, stop=given)
        assert texts(answer) == [text[: text.index(stop)]]
        assert answer.choices[0].finish_reason == "stop"
    assert streamed(client, max_tokens=60, stop=stop)[0] == {0: text[: text.index(stop)]}


@pytest.mark.parametrize("count", [0, 3])
def test_logprobs_align_with_the_text(client: OpenAI, count: int) -> None:
    choice = write(client, logprobs=count, max_tokens=20).choices[0]
    logprobs = logprobs_of(choice)
    assert logprobs.tokens is not None
    assert logprobs.token_logprobs is not None
    assert "".join(logprobs.tokens) == choice.text
    assert logprobs.text_offset == list(range(3, 23)), "counted from the prompt's beginning"
    assert all(value <= 0 for value in logprobs.token_logprobs)
    if count == 0:
        assert logprobs.top_logprobs is None
        return
    assert logprobs.top_logprobs is not None
    for token, value, top in zip(
        logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True
    ):
        assert top[token] == value
        assert count <= len(top) <= count + 1


def test_streamed_logprobs_are_those_of_the_whole_answer(client: OpenAI) -> None:
    whole = logprobs_of(write(client, logprobs=2, max_tokens=30).choices[0])
    _, chunks = streamed(client, logprobs=2, max_tokens=30)
    parts = [logprobs_of(choice) for chunk in chunks for choice in chunk.choices]
    assert [token for part in parts for token in part.tokens or []] == whole.tokens
    assert [offset for part in parts for offset in part.text_offset or []] == whole.text_offset
    assert [value for part in parts for value in part.token_logprobs or []] == whole.token_logprobs


def test_echo_gives_the_prompt_back_with_its_logprobs(client: OpenAI) -> None:
    plain = write(client, logprobs=1)
    echoed = write(client, logprobs=1, echo=True)
    assert texts(echoed) == ["the" + plain.choices[0].text]
    logprobs = logprobs_of(echoed.choices[0])
    assert logprobs.tokens is not None
    assert logprobs.tokens[:3] == list("the")
    assert logprobs.text_offset == list(range(19))
    values: list[float | None] = list(logprobs.token_logprobs or [])
    assert values[0] is None, "nothing came before the first symbol"
    assert None not in values[1:]
    assert values[3:] == logprobs_of(plain.choices[0]).token_logprobs


def test_best_of_gives_the_likeliest(client: OpenAI) -> None:
    def mean(choice: CompletionChoice) -> float:
        values = logprobs_of(choice).token_logprobs or []
        return sum(values) / len(values)

    several = sorted(write(client, n=6, logprobs=0).choices, key=mean, reverse=True)
    best = write(client, best_of=6, n=2, logprobs=0)
    assert texts(best) == [choice.text for choice in several[:2]]
    assert best.usage is not None
    assert best.usage.completion_tokens == 6 * 16


def test_penalties_and_restrictions_change_the_text(client: OpenAI) -> None:
    plain = texts(write(client, max_tokens=60))
    for fields in (
        {"presence_penalty": 2.0},
        {"frequency_penalty": 2.0},
        {"top_p": 0.3},
        {"extra_body": {"top_k": 2}},
        {"extra_body": {"repetition_penalty": 3.0}},
    ):
        assert texts(write(client, max_tokens=60, **fields)) != plain, fields


def test_beam_search_gives_the_best_first(client: OpenAI) -> None:
    beam = {"beam_width": 4, "length_penalty": 0.0}
    answer = write(client, n=2, seed=None, logprobs=0, extra_body=beam)
    sums = [sum(logprobs_of(choice).token_logprobs or []) for choice in answer.choices]
    assert sums[0] >= sums[1]
    greedy = write(client, temperature=0, logprobs=0)
    assert sums[0] >= sum(logprobs_of(greedy.choices[0]).token_logprobs or [])


def test_unknown_characters_are_replaced_and_named_or_refused(client: OpenAI) -> None:
    answer = write(client, prompt="the “end”")
    assert answer.model_extra is not None
    named = {entry["character"] for entry in answer.model_extra["replaced_characters"]}
    assert named == {"“", "”"}
    with pytest.raises(openai.BadRequestError, match="“"):
        write(client, prompt="the “end”", extra_body={"unknown": "refuse"})


def test_usage_comes_last_if_a_stream_asks_for_it(client: OpenAI) -> None:
    _, chunks = streamed(client, n=2, stream_options={"include_usage": True})
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, 32)


def test_every_text_of_a_stream_has_one_reason(client: OpenAI) -> None:
    _, chunks = streamed(client, n=3)
    reasons = [
        (choice.index, choice.finish_reason)
        for chunk in chunks
        for choice in chunk.choices
        if choice.finish_reason
    ]
    assert sorted(reasons) == [(0, "length"), (1, "length"), (2, "length")]


async def test_asynchronous_stream_gives_the_text(
    client: OpenAI, async_client: AsyncOpenAI
) -> None:
    stream = await async_client.completions.create(
        model=MODEL, prompt="the", seed=1, max_tokens=40, stream=True
    )
    text = "".join([chunk.choices[0].text async for chunk in stream])
    assert [text] == texts(write(client, max_tokens=40))


def test_model_may_name_a_version(client: OpenAI) -> None:
    latest, older = write(client, model="newer"), write(client, model="newer:2")
    assert texts(latest) == texts(write(client, model="newer:3"))
    assert texts(latest) != texts(older)
    assert older.system_fingerprint != latest.system_fingerprint


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"n": 0}, "n"),
        ({"logprobs": 1000}, "logprobs"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"seed": -1}, "seed"),
        ({"suffix": "end"}, "suffix"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"extra_body": {"top_k": -1}}, "top_k"),
        ({"extra_body": {"repetition_penalty": 0}}, "repetition_penalty"),
        ({"extra_body": {"beam_width": 0}}, "beam_width"),
        ({"extra_body": {"min_p": 0.1}}, "min_p"),
        ({"prompt": []}, "prompt"),
    ],
)
def test_bad_field_raises_bad_request_with_its_name(
    client: OpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        write(client, **fields)
    assert error.value.param == param
    assert error.value.type == "invalid_request_error"
    assert error.value.request_id


@pytest.mark.parametrize("model", ["nobody", "newer:9"])
@pytest.mark.parametrize("stream", [False, True])
def test_unknown_model_raises_not_found(client: OpenAI, model: str, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.completions.create(model=model, prompt="a", stream=stream)
    assert (error.value.code, error.value.param) == ("model_not_found", "model")


def test_model_that_writes_no_text_raises_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        write(client, model="plus")
    assert (error.value.code, error.value.param) == ("not_supported", "model")


async def test_full_queue_raises_rate_limit_error(
    start_server: StartServer, tmp_path: Path
) -> None:
    make_text_model(tmp_path / MODEL)
    flags = ("--generation.slots", "1", "--generation.max-waiting-rows", "1")
    server = start_server(tmp_path, *flags).wait_ready()
    url = f"http://{server.http_address}/v1"
    async with AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:

        def ask() -> Any:
            return client.completions.create(model=MODEL, prompt="a", max_tokens=ENDLESS, n=2)

        crowd = asyncio.ensure_future(ask())
        await asyncio.to_thread(
            wait_until, lambda: generating(server, "waiting") == 1, "a text that waits"
        )
        with pytest.raises(openai.RateLimitError) as error:
            await ask()
        crowd.cancel()
    assert error.value.code == "rate_limit_exceeded"
    assert int(error.value.response.headers["retry-after"]) >= 1


def test_models_are_listed_and_found(client: OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert listed.keys() == {MODEL, "newer", "plus"}
    assert all(model.owned_by == "quartet" for model in listed.values())
    found = client.models.retrieve("newer")
    assert found.model_extra is not None
    assert found.model_extra["versions"] == ["2", "3"]
    assert client.models.retrieve("newer:2").id == "newer:2"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_closing_a_stream_stops_its_text(client: OpenAI, text_server: ServerProcess) -> None:
    before = text_server.metric(
        "quartet_requests_total", outcome="cancelled", protocol="http", model=MODEL
    )
    stream = client.completions.create(model=MODEL, prompt="the", max_tokens=ENDLESS, stream=True)
    next(iter(stream))
    assert generating(text_server) == 1
    stream.close()
    wait_until(lambda: generating(text_server) == 0, "a free slot")
    wait_until(
        lambda: (
            text_server.metric(
                "quartet_requests_total", outcome="cancelled", protocol="http", model=MODEL
            )
            == before + 1
        ),
        "a cancelled request",
    )
