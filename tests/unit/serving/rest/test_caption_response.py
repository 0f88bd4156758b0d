"""Captions as JSON and as events."""

import json

import numpy as np
import pytest

from serving.caption_types import (
    Caption,
    CaptionPiece,
    CaptionRequest,
    CaptionResponse,
    Scene,
    VideoResponse,
    Word,
)
from serving.generation_types import FinishReason
from serving.rest.caption_response import CaptionEvents, render_captions, render_video
from serving.rest.captions_openapi import captions_operation
from tests.fake_captions import FakeCaptionAnswer, FakeCaptions, attention_of, caption_of

DOG = Caption(
    text="a dog",
    words=(Word("a", -0.5), Word("dog", -1.25)),
    log_probability=-2.0,
    finish_reason=FinishReason.STOP,
)
DOG_JSON = {
    "text": "a dog",
    "log_probability": -2.0,
    "finish_reason": "stop",
    "tokens": [
        {"text": "a", "log_probability": -0.5},
        {"text": "dog", "log_probability": -1.25},
    ],
}
MADE_BY = {"model_name": "m", "model_version": "3"}


def response(*results: tuple[Caption, ...], seed: int | None = None) -> CaptionResponse:
    return CaptionResponse(model_name="m", model_version="3", seed=seed, results=results)


def test_one_picture_gives_one_object() -> None:
    body = json.loads(render_captions(response((DOG, DOG)), many=False))
    assert body == {**MADE_BY, "captions": [DOG_JSON, DOG_JSON]}


def test_several_pictures_give_results() -> None:
    body = json.loads(render_captions(response((DOG,), ()), many=True))
    assert body == {"results": [{**MADE_BY, "captions": [DOG_JSON]}, {**MADE_BY, "captions": []}]}


@pytest.mark.parametrize("many", [False, True])
def test_seed_of_drawn_captions_is_told_exactly(many: bool) -> None:
    body = json.loads(render_captions(response((DOG,), seed=2**63 - 1), many=many))
    assert (body["results"][0] if many else body)["seed"] == 2**63 - 1


def test_attention_is_written_row_by_row_without_loss() -> None:
    body = json.loads(render_captions(response((caption_of(0, 0, attention=True),)), many=False))
    for place, token in enumerate(body["captions"][0]["tokens"]):
        assert (token["attention"]["rows"], token["attention"]["columns"]) == (2, 3)
        values = np.asarray(token["attention"]["values"], np.float32)
        np.testing.assert_array_equal(values, attention_of(0, 0, place).reshape(-1))


def test_attention_of_any_memory_layout_is_written_row_by_row() -> None:
    turned = np.arange(6, dtype=np.float32).reshape(3, 2).T
    caption = Caption(
        text="a",
        words=(Word("a", -1.0, turned),),
        log_probability=-1.0,
        finish_reason=FinishReason.STOP,
    )
    body = json.loads(render_captions(response((caption,)), many=False))
    attention = body["captions"][0]["tokens"][0]["attention"]
    assert attention == {"rows": 2, "columns": 3, "values": [0, 2, 4, 1, 3, 5]}


def test_video_gives_scenes() -> None:
    scene = Scene(start_s=0.0, end_s=2.5, frame_s=1.0, captions=(DOG,))
    video = VideoResponse(
        model_name="m", model_version="3", seed=None, duration_s=2.5, frames=5, scenes=(scene,)
    )
    assert json.loads(render_video(video)) == {
        **MADE_BY,
        "duration_s": 2.5,
        "frames": 5,
        "scenes": [{"start_s": 0.0, "end_s": 2.5, "frame_s": 1.0, "captions": [DOG_JSON]}],
    }


def events(answer: FakeCaptionAnswer, *pieces: CaptionPiece) -> list[dict[str, object]]:
    writer = CaptionEvents(answer)
    texts = [writer.event(piece).decode() for piece in pieces]
    assert all(text.startswith("data: {") and text.endswith("}\n\n") for text in texts)
    return [json.loads(text.removeprefix("data: ")) for text in texts]


def answer() -> FakeCaptionAnswer:
    request = CaptionRequest(model_name="m", images=(b"x",))
    return FakeCaptionAnswer(request, FakeCaptions())


def test_first_event_tells_who_answers() -> None:
    first, second = events(
        answer(),
        CaptionPiece(image=0, caption=1, word=Word("a", -0.5)),
        CaptionPiece(image=1, caption=0, word=Word("b", -0.5)),
    )
    token = {"text": "a", "log_probability": -0.5}
    assert first == {**MADE_BY, "image": 0, "caption": 1, "token": token}
    assert second == {"image": 1, "caption": 0, "token": {**token, "text": "b"}}


def test_first_event_tells_the_seed_of_drawn_captions() -> None:
    drawn = answer()
    drawn.seed = 0
    (first,) = events(drawn, CaptionPiece(image=0, caption=0, word=Word("a", -0.5)))
    assert first["seed"] == 0


def test_whole_caption_repeats_no_attention() -> None:
    whole = caption_of(0, 0, attention=True)
    word, end = events(
        answer(),
        CaptionPiece(image=0, caption=0, word=whole.words[0]),
        CaptionPiece(image=0, caption=0, whole=whole),
    )
    assert "attention" in json.dumps(word)
    plain = json.loads(render_captions(response((caption_of(0, 0),)), many=False))["captions"][0]
    assert end == {"image": 0, "caption": 0, "whole": plain}


def test_documented_examples_are_what_is_written() -> None:
    content = captions_operation(versioned=False)["responses"]["200"]["content"]
    examples = content["application/json"]["examples"]
    example = examples["one"]["value"]["captions"][0]
    caption = Caption(
        text=example["text"],
        words=tuple(Word(t["text"], t["log_probability"]) for t in example["tokens"]),
        log_probability=example["log_probability"],
        finish_reason=FinishReason(example["finish_reason"]),
    )
    whole = CaptionResponse(
        model_name="captioner", model_version="1", seed=None, results=((caption,), (caption,))
    )
    scenes = tuple(
        Scene(
            **{name: scene[name] for name in ("start_s", "end_s", "frame_s")}, captions=(caption,)
        )
        for scene in examples["video"]["value"]["scenes"]
    )
    video = VideoResponse(
        model_name="captioner",
        model_version="1",
        seed=None,
        duration_s=4.5,
        frames=9,
        scenes=scenes,
    )
    written = {
        "one": render_captions(whole, many=False),
        "several": render_captions(whole, many=True),
        "video": render_video(video),
    }
    assert {name: {"value": json.loads(body)} for name, body in written.items()} == examples
