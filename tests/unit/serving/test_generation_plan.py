"""Every field of a request for text against what the model can do."""

from typing import Any

import pytest

from quartet.generation import GenerationDefaults, StatePair, TextGenerationTask
from serving.errors import InvalidInput
from serving.generation_types import GenerateRequest, Sampling
from serving.tasks.generation_plan import (
    CONTROLS,
    GenerationLimits,
    GenerationPlan,
    check_scores,
    plan_generation,
)

TASK = TextGenerationTask(
    vocabulary=tuple("\nabc"),
    states=(StatePair(input="h", output="h_out"),),
    max_tokens=1000,
    defaults=GenerationDefaults(
        max_tokens=50, temperature=0.7, top_k=2, top_p=0.9, repetition_penalty=1.1
    ),
)


def plan(
    *, keeps_state: bool = False, controls: frozenset[str] = frozenset(CONTROLS), **fields: Any
) -> GenerationPlan:
    limits = GenerationLimits(model="m", task=TASK, top=3, controls=controls, max_beams=3)
    request = GenerateRequest(model_name="m", **fields)
    return plan_generation(request, limits, keeps_state=keeps_state)


def refusal(**fields: Any) -> str:
    with pytest.raises(InvalidInput) as refused:
        plan(**fields)
    return refused.value.message


def test_what_a_request_does_not_say_the_model_does() -> None:
    assert plan() == GenerationPlan(
        sampling=Sampling(temperature=0.7, top_k=2, top_p=0.9, repetition_penalty=1.1),
        max_tokens=50,
        texts=1,
        n=1,
        beam_width=None,
    )


def test_what_a_request_says_counts() -> None:
    asked = Sampling(
        temperature=0.0,
        top_k=1,
        top_p=1.0,
        repetition_penalty=2.0,
        presence_penalty=-1.0,
        frequency_penalty=2.0,
    )
    fields = {name: getattr(asked, name) for name in CONTROLS}
    made = plan(max_tokens=0, n=2, best_of=5, logprobs=3, seed=2**63 - 1, **fields)
    assert (made.sampling, made.max_tokens, made.texts, made.n) == (asked, 0, 5, 2)


def test_a_default_beyond_the_models_limit_is_cut() -> None:
    small = TASK.model_copy(update={"max_tokens": 10})
    limits = GenerationLimits(model="m", task=small, top=3, controls=CONTROLS, max_beams=3)
    made = plan_generation(GenerateRequest(model_name="m"), limits, keeps_state=False)
    assert made.max_tokens == 10


def test_as_many_of_the_likeliest_as_there_are_symbols_are_all() -> None:
    assert plan(top_k=4).sampling.top_k == 0


def test_a_beam_search_writes_one_text_for_the_scheduler() -> None:
    made = plan(beam_width=3, n=2, temperature=1.0)
    assert (made.beam_width, made.texts, made.n) == (3, 1, 2)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"max_tokens": -1}, "max_tokens: expected 0 to 1000, got -1"),
        ({"max_tokens": 1001}, "max_tokens: expected 0 to 1000, got 1001"),
        ({"temperature": -0.5}, "temperature: expected 0.001 to 100.0 or 0, got -0.5"),
        ({"temperature": 1e-9}, "temperature: expected 0.001 to 100.0 or 0, got 1e-09"),
        ({"temperature": float("nan")}, "temperature: expected 0.001 to 100.0 or 0, got nan"),
        ({"temperature": float("inf")}, "temperature: expected 0.001 to 100.0 or 0, got inf"),
        ({"top_k": -1}, "top_k: expected 0 to 2147483647, got -1"),
        ({"top_p": 0.0}, "top_p: expected 1e-06 to 1.0, got 0.0"),
        ({"top_p": 1.5}, "top_p: expected 1e-06 to 1.0, got 1.5"),
        ({"top_p": float("nan")}, "top_p: expected 1e-06 to 1.0, got nan"),
        ({"repetition_penalty": 0.0}, "repetition_penalty: expected 0.01 to 100.0, got 0.0"),
        ({"presence_penalty": 2.5}, "presence_penalty: expected -2.0 to 2.0, got 2.5"),
        ({"frequency_penalty": -2.5}, "frequency_penalty: expected -2.0 to 2.0, got -2.5"),
        ({"seed": -1}, "seed: expected 0 to 9223372036854775807, got -1"),
        ({"seed": 2**63}, "seed: expected 0 to 9223372036854775807, got 9223372036854775808"),
        ({"n": 0}, "n: expected 1 to 128, got 0"),
        ({"n": 129}, "n: expected 1 to 128, got 129"),
        ({"best_of": 0}, "best_of: expected 1 to 128, got 0"),
        ({"n": 3, "best_of": 2}, "best_of: expected at least n = 3, got 2"),
        ({"logprobs": -1}, "logprobs: expected 0 to 3, got -1"),
        ({"logprobs": 4}, "logprobs: expected 0 to 3, got 4"),
        ({"stop": ("",)}, "stop: expected strings of 1 to 4096 characters, one has 0"),
        ({"stop": ("a" * 4097,)}, "stop: expected strings of 1 to 4096 characters, one has 4097"),
        ({"stop": ("a",) * 33}, "stop: expected at most 32 strings, got 33"),
        ({"beam_width": 0}, "beam_width: expected 1 to 3, got 0"),
        ({"beam_width": 4}, "beam_width: expected 1 to 3, got 4"),
        ({"beam_width": 2, "n": 3}, "n: expected at most beam_width = 2, got 3"),
        ({"beam_width": 2, "best_of": 2}, "best_of: leave it out or leave out beam_width"),
        (
            {"beam_width": 2, "length_penalty": float("nan")},
            "length_penalty: expected -10.0 to 10.0, got nan",
        ),
        (
            {"length_penalty": 2.0},
            "length_penalty: has an effect on a beam search alone; leave it out",
        ),
        (
            {"beam_width": 2, "temperature": 0.5},
            "temperature: has no effect on a beam search; leave it out",
        ),
        (
            {"beam_width": 2, "presence_penalty": 0.5},
            "presence_penalty: has no effect on a beam search; leave it out",
        ),
    ],
)
def test_a_value_out_of_range_is_named(fields: dict[str, Any], complaint: str) -> None:
    assert refusal(**fields) == complaint


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"n": 2}, "n: a session has one text; fork it to get several"),
        ({"best_of": 2}, "best_of: a session has one text; fork it to get several"),
        ({"beam_width": 2}, "beam_width: a session's text is drawn; leave it out"),
    ],
)
def test_a_kept_text_is_a_single_one(fields: dict[str, Any], complaint: str) -> None:
    assert refusal(keeps_state=True, **fields) == complaint


def test_a_control_that_the_graph_lacks_is_refused_by_name() -> None:
    lacking = frozenset(CONTROLS) - {"presence_penalty", "frequency_penalty"}
    assert refusal(controls=lacking, frequency_penalty=0.5) == (
        "frequency_penalty: model 'm' has no such control; leave it out. It has temperature, "
        "top_k, top_p, repetition_penalty"
    )


def test_the_neutral_value_of_a_control_that_the_graph_lacks_is_taken() -> None:
    lacking = frozenset(CONTROLS) - {"presence_penalty"}
    assert plan(controls=lacking, presence_penalty=0.0).sampling.presence_penalty == 0


def check(max_tokens: int, *prompts: int, top: int = 0, **fields: Any) -> None:
    request = GenerateRequest(model_name="m", **fields)
    check_scores(request, max_tokens, prompts, top=top)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"logprobs": 0}, 250_000),
        ({"logprobs": 9}, 25_000),
        ({"logprobs": 9, "n": 10}, 2_500),
        ({"logprobs": 9, "best_of": 100}, 250),
        ({"logprobs": 9, "echo": True}, 24_900),
        ({"logprobs": 1, "beam_width": 10, "top": 19}, 1_250),
        ({"logprobs": 0, "beam_width": 10, "top": 19}, 25_000),
    ],
)
def test_more_log_probabilities_than_fit_are_refused(fields: dict[str, Any], fits: int) -> None:
    check(fits, 100, **fields)
    with pytest.raises(InvalidInput, match=r"^logprobs: \d+ numbers .* at most 250000 are"):
        check(fits + 1, 100, **fields)


def test_log_probabilities_of_all_prompts_are_counted() -> None:
    check(12_500, 1, 1, logprobs=9)
    with pytest.raises(InvalidInput, match="logprobs: 250020 numbers"):
        check(12_501, 1, 1, logprobs=9)


def test_a_text_without_log_probabilities_may_be_long() -> None:
    check(100_000, 100_000, n=128, echo=True)
