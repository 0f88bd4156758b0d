"""Every option of a request for captions against what the model can do."""

from typing import Any

import pytest

from quartet.artifact import CaptionDefaults, ImageCaptioningTask, ImageSpec
from quartet.generation import StatePair
from serving.caption_types import CaptionOptions
from serving.errors import InvalidInput
from serving.generation_types import Sampling
from serving.tasks.caption_plan import GREEDY, CaptionLimits, CaptionPlan, plan_captions

TASK = ImageCaptioningTask(
    vocabulary=("<start>", "<end>", "<unk>", "a", "dog", "end", "2"),
    states=(StatePair(input="h", output="h_out"),),
    begin="<start>",
    stop=("<end>", "end"),
    hidden=("<start>", "<unk>"),
    image=ImageSpec(height=8, width=8),
    grid=(2, 3),
    max_tokens=30,
    defaults=CaptionDefaults(beam_width=3, length_penalty=0.7, min_tokens=2, max_tokens=20),
)


def plan(
    images: int = 1,
    *,
    task: ImageCaptioningTask = TASK,
    places: int = 6,
    max_beams: int = 5,
    **fields: Any,
) -> CaptionPlan:
    limits = CaptionLimits(model="m", task=task, places=places, max_beams=max_beams)
    return plan_captions(CaptionOptions(**fields), limits, images)


def test_a_request_that_could_never_wait_is_refused_by_its_size() -> None:
    with pytest.raises(InvalidInput, match="64 with 20 captions or beams each are 1280 rows"):
        plan(images=64, captions=20, temperature=1.0)
    assert plan(images=64, captions=16, temperature=1.0).captions == 16


def test_the_models_defaults_search() -> None:
    assert plan() == CaptionPlan(
        captions=1,
        width=3,
        length_penalty=0.7,
        sampling=GREEDY,
        min_tokens=2,
        max_tokens=20,
        beginning=(),
        seed=None,
        attention=False,
    )


@pytest.mark.parametrize(
    ("fields", "captions", "width"),
    [
        ({"captions": 2}, 2, 3),
        ({"captions": 5}, 5, 5),
        ({"beam_width": 4}, 1, 4),
        ({"captions": 2, "beam_width": 2}, 2, 2),
        ({"beam_width": 1}, 1, None),
    ],
)
def test_captions_alone_raise_the_width(
    fields: dict[str, Any], captions: int, width: int | None
) -> None:
    found = plan(**fields)
    assert (found.captions, found.width) == (captions, width)


def test_defaults_give_way_to_what_the_engine_can_do() -> None:
    assert plan(max_beams=2).width == 2
    assert plan(max_beams=1).width is None


def test_defaults_give_way_to_what_the_request_says() -> None:
    many = TASK.model_copy(update={"defaults": CaptionDefaults(captions=3, beam_width=4)})
    assert plan(task=many, beam_width=2).captions == 2
    assert plan(task=many, temperature=1.0).captions == 3
    assert plan(task=many, temperature=0.0).captions == 1
    assert plan(max_tokens=1).min_tokens == 1


def test_a_temperature_draws_with_the_requests_seed() -> None:
    found = plan(temperature=0.7, top_k=3, top_p=0.9, seed=11, captions=9)
    assert (found.captions, found.width, found.seed) == (9, None, 11)
    assert found.sampling == Sampling(temperature=0.7, top_k=3, top_p=0.9)


def test_a_draw_without_a_seed_gets_one() -> None:
    seeds = {plan(temperature=1.0).seed for _ in range(20)}
    assert len(seeds) == 20
    assert all(seed is not None and 0 <= seed < 2**53 for seed in seeds)


def test_nothing_is_drawn_at_temperature_0() -> None:
    found = plan(temperature=0.0, seed=3)
    assert (found.seed, found.width, found.captions) == (None, None, 1)
    assert found.sampling == GREEDY


def test_the_beginning_is_made_as_captions_are_and_counts_as_words() -> None:
    found = plan(beginning="  A DOG's,\n2 ", min_tokens=5, task=_with("dogs"))
    assert found.beginning == (3, 7, 6)
    assert (found.min_tokens, found.max_tokens) == (2, 17)
    assert plan(beginning="a dog", min_tokens=1).min_tokens == 0


def test_a_beginning_of_signs_alone_is_none() -> None:
    assert plan(beginning=" .!? ").beginning == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"captions": 0}, "captions: expected 1 to 32, got 0"),
        ({"captions": 33, "temperature": 1.0}, "captions: expected 1 to 32, got 33"),
        ({"captions": 4, "beam_width": 3}, "captions: expected at most beam_width = 3, got 4"),
        ({"captions": 6}, "captions: expected at most beam_width = 5, got 6"),
        ({"beam_width": 0}, "beam_width: expected 1 to 5, got 0"),
        ({"beam_width": 6}, "beam_width: expected 1 to 5, got 6"),
        ({"length_penalty": 11.0}, "length_penalty: expected -10.0 to 10.0, got 11.0"),
        ({"length_penalty": float("nan")}, "length_penalty: expected -10.0 to 10.0, got nan"),
        ({"min_tokens": -1}, "min_tokens: expected 0 to max_tokens = 20, got -1"),
        ({"min_tokens": 21}, "min_tokens: expected 0 to max_tokens = 20, got 21"),
        ({"max_tokens": 0}, "max_tokens: expected 1 to 30, got 0"),
        ({"max_tokens": 31}, "max_tokens: expected 1 to 30, got 31"),
        (
            {"max_tokens": 2, "beginning": "a dog"},
            "max_tokens: expected more than the 2 words of beginning, got 2",
        ),
        ({"temperature": -1.0}, "temperature: expected 0.001 to 100.0 or 0, got -1.0"),
        ({"temperature": 1.0, "top_k": -1}, "top_k: expected 0 to 2147483647, got -1"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p: expected 1e-06 to 1.0, got 0.0"),
        ({"top_k": 3}, "top_k: has no effect on a beam search"),
        ({"top_p": 0.5}, "top_p: has no effect on a beam search"),
        ({"temperature": 1.0, "beam_width": 2}, "beam_width: captions of a temperature are drawn"),
        ({"temperature": 1.0, "length_penalty": 1.0}, "length_penalty: captions of a temperature"),
        ({"temperature": 0.0, "captions": 2}, "captions: at temperature 0 all would be the same"),
        ({"seed": -1}, "seed: expected 0 to 9223372036854775807, got -1"),
        ({"beginning": "a Zebra"}, "beginning: the model does not know the word 'zebra'"),
        ({"beginning": "a" * 10_001}, "beginning: expected at most 10000 characters, got 10001"),
    ],
)
def test_a_fault_is_named_with_its_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        plan(**fields)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("word", ["end", "start", "unk"])
def test_a_symbol_that_is_no_word_begins_no_caption(word: str) -> None:
    hidden = TASK.model_copy(update={"vocabulary": (*TASK.vocabulary[:3], "a", "dog", "end", "2")})
    with pytest.raises(InvalidInput, match=f"does not know the word '{word}'"):
        plan(task=hidden, beginning=word)


@pytest.mark.parametrize("images", [0, 65])
def test_the_number_of_pictures_is_limited(images: int) -> None:
    with pytest.raises(InvalidInput, match=rf"^images: expected 1 to 64, got {images}$"):
        plan(images)


def test_attention_of_a_model_without_one_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^attention: model 'm' has none"):
        plan(places=0, attention=True)
    assert plan(attention=True).attention


def test_attention_that_would_fill_the_memory_is_refused() -> None:
    long = TASK.model_copy(update={"max_tokens": 100_000})
    wanted: dict[str, Any] = {"attention": True, "max_tokens": 100_000, "task": long}
    assert plan(2, places=6, **wanted).attention
    with pytest.raises(InvalidInput, match=r"^attention: 5400000 numbers would have to be kept"):
        plan(3, places=6, **wanted)


def _with(*words: str) -> ImageCaptioningTask:
    return TASK.model_copy(update={"vocabulary": (*TASK.vocabulary, *words)})
