"""Captions of the real server over gRPC: what REST gives, word by word, and of videos."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from serving.pb.quartet.v1 import quartet_pb2 as pb
from tests.caption_models import GRID, WORDS, photo
from tests.e2e.process import ServerProcess, wait_until
from tests.patience import TIMEOUT_S
from tests.videos import animation, scene

pytestmark = pytest.mark.e2e
LONG = {"temperature": 1.0, "captions": 32, "min_tokens": 40, "max_tokens": 40, "attention": True}
"""With 31 pictures 992 captions of 40 words: many runs of all slots, all with attention."""
REASONS = {pb.FINISH_REASON_STOP: "stop", pb.FINISH_REASON_LENGTH: "length"}


@pytest.fixture
def methods(caption_server: ServerProcess) -> Iterator[dict[str, Callable[..., Any]]]:
    """The methods by name; keywords become fields of the request."""
    with grpc.insecure_channel(caption_server.grpc_address) as channel:
        kinds = (
            ("Caption", channel.unary_unary, pb.CaptionRequest, pb.CaptionResponse),
            ("StreamCaption", channel.unary_stream, pb.CaptionRequest, pb.StreamCaptionResponse),
            ("CaptionVideo", channel.unary_unary, pb.CaptionVideoRequest, pb.CaptionVideoResponse),
        )
        yield {
            name: _caller(
                kind(
                    f"/quartet.v1.Quartet/{name}",
                    request_serializer=request.SerializeToString,
                    response_deserializer=response.FromString,
                ),
                request,
            )
            for name, kind, request, response in kinds
        }


def _caller(method: Any, request: Any) -> Callable[..., Any]:
    def call(options: dict[str, Any] | None = None, **fields: Any) -> Any:
        fields = {"model_name": "eye", "model_version": "1", **fields}
        message = request(options=pb.CaptionOptions(**options or {}), **fields)
        return method(message, timeout=TIMEOUT_S)

    return call


def images(*seeds: int) -> list[pb.Image]:
    return [pb.Image(data=photo(seed)) for seed in seeds]


def plain(caption: pb.Caption) -> dict[str, Any]:
    """A caption as REST writes it, without attention."""
    return {
        "text": caption.text,
        "log_probability": caption.log_probability,
        "finish_reason": REASONS[caption.finish_reason],
        "tokens": [
            {"text": word.text, "log_probability": word.log_probability} for word in caption.words
        ],
    }


def over_rest(server: ServerProcess, picture: int, options: dict[str, Any]) -> list[dict[str, Any]]:
    body = json.dumps({"image": base64.b64encode(photo(picture)).decode(), **options})
    answer = server.request(
        "POST", "/v1/captions/eye/versions/1", body, {"content-type": "application/json"}
    )
    assert answer.status == 200, answer.body
    captions: list[dict[str, Any]] = answer.json()["captions"]
    return captions


def map_of(word: pb.CaptionWord) -> Any:
    shape = (word.attention.rows, word.attention.columns)
    return np.array(word.attention.values, np.float32).reshape(shape)


@pytest.mark.parametrize(
    "options",
    [
        {"beam_width": 1},
        {"captions": 3, "beam_width": 4, "length_penalty": 0.7},
        {"temperature": 1.0, "captions": 2, "seed": 7, "top_k": 5},
        {"beginning": "A red", "min_tokens": 5, "max_tokens": 9},
    ],
)
def test_caption_says_what_rest_says(
    caption_server: ServerProcess, methods: Any, options: dict[str, Any]
) -> None:
    response = methods["Caption"](options, images=images(3), id="call")
    assert (response.model_name, response.model_version, response.id) == ("eye", "1", "call")
    (result,) = response.results
    assert [plain(caption) for caption in result.captions] == over_rest(caption_server, 3, options)


def test_caption_has_a_map_of_the_grid_for_every_word(methods: Any) -> None:
    (result,) = methods["Caption"]({"attention": True}, images=images(1)).results
    words = result.captions[0].words
    assert len(words) > 0
    for word in words:
        assert map_of(word).shape == GRID
        assert map_of(word).min() >= 0
        # float32 shares: rounding alone.
        assert map_of(word).sum() == pytest.approx(1, abs=1e-5)


def test_pictures_of_one_request_are_captioned_as_alone(methods: Any) -> None:
    options = {"captions": 2, "beam_width": 3}
    together = methods["Caption"](options, images=images(*range(5)))
    for seed, result in enumerate(together.results):
        (alone,) = methods["Caption"](options, images=images(seed)).results
        assert result == alone


@pytest.mark.parametrize(
    "options",
    [
        {"beam_width": 1, "attention": True},
        {"captions": 2, "beam_width": 3},
        {"temperature": 1.2, "captions": 3, "seed": 11},
    ],
)
def test_streamed_words_make_the_captions_of_one_answer(
    methods: Any, options: dict[str, Any]
) -> None:
    whole = methods["Caption"](options, images=images(4, 5))
    messages = list(methods["StreamCaption"](options, images=images(4, 5), id="call"))
    assert [m.WhichOneof("event") for m in (messages[0], messages[-1])] == ["started", "finished"]
    started = messages[0].started
    assert (started.model_name, started.model_version, started.id) == ("eye", "1", "call")
    assert started.captions == options.get("captions", 1)
    assert (started.seed if started.HasField("seed") else None) == options.get("seed")
    words: dict[tuple[int, int], list[pb.CaptionWord]] = {}
    ended: dict[tuple[int, int], pb.Caption] = {}
    for message in messages[1:-1]:
        if message.WhichOneof("event") == "word":
            key = (message.word.image, message.word.caption)
            assert key not in ended
            words.setdefault(key, []).append(message.word.word)
        else:
            ended[message.caption.image, message.caption.caption] = message.caption.whole
    for image, result in enumerate(whole.results):
        for number, caption in enumerate(result.captions):
            assert ended.pop((image, number)) == caption
            assert words.get((image, number), []) == list(caption.words)
    assert ended == {}


def test_words_come_before_the_end_and_cancelling_frees_their_rows(
    caption_server: ServerProcess, methods: Any
) -> None:
    call = methods["StreamCaption"]({**LONG, "seed": 1}, images=images(*range(31)))
    before = _cancelled(caption_server)
    assert next(call).WhichOneof("event") == "started"
    assert next(call).word.word.text in WORDS
    call.cancel()
    _wait_until_stopped(caption_server, before)


def test_video_is_captioned_scene_by_scene(methods: Any) -> None:
    options = {"captions": 2, "beam_width": 2}
    video = animation(scene(0, 4) + scene(1, 4), ms=500)
    response = methods["CaptionVideo"](options, video=video, id="call")
    assert (response.model_name, response.model_version, response.id) == ("eye", "1", "call")
    assert response.duration_s == pytest.approx(4.0)
    assert response.frames == 8
    assert [(found.start_s, found.end_s) for found in response.scenes] == [(0, 2), (2, 4)]
    for found in response.scenes:
        assert found.start_s <= found.frame_s < found.end_s
        assert len(found.captions) == 2
    assert response.scenes[0].captions[0] != response.scenes[1].captions[0]


def test_frames_are_captioned_as_the_pictures_that_they_are(methods: Any) -> None:
    frames = [pb.VideoFrame(time_s=2.0 * n, image=images(n)[0]) for n in range(2)]
    response = methods["CaptionVideo"](
        {"beam_width": 1}, frames=pb.FrameList(frames=frames), model_name="blind"
    )
    pictures = methods["Caption"]({"beam_width": 1}, images=images(0, 1), model_name="blind")
    by_time = {2.0 * n: result.captions[0] for n, result in enumerate(pictures.results)}
    assert response.frames == 2
    assert len(response.scenes) > 0
    for found in response.scenes:
        assert list(found.captions) == [by_time[found.frame_s]]


def test_default_version_is_the_highest_that_is_ready(methods: Any) -> None:
    assert methods["Caption"](images=images(0), model_version="").model_version == "2"


@pytest.mark.parametrize(
    ("options", "fields", "code", "complaint"),
    [
        ({}, {"model_name": "plus"}, "UNIMPLEMENTED", "'plus' does not caption pictures"),
        ({}, {"model_name": "eye.encoder"}, "UNIMPLEMENTED", "does not caption pictures"),
        ({}, {"model_name": "absent"}, "NOT_FOUND", "absent"),
        ({}, {"model_version": "9"}, "NOT_FOUND", "9"),
        ({}, {"images": []}, "INVALID_ARGUMENT", "^0 images"),
        ({}, {"images": [pb.Image(data=b"text")]}, "INVALID_ARGUMENT", "not an image"),
        ({"captions": 0}, {}, "INVALID_ARGUMENT", "^captions"),
        ({"captions": 3, "beam_width": 2}, {}, "INVALID_ARGUMENT", "^captions"),
        ({"beam_width": 0}, {}, "INVALID_ARGUMENT", "^beam_width"),
        ({"length_penalty": 99.0}, {}, "INVALID_ARGUMENT", "^length_penalty"),
        ({"max_tokens": 41}, {}, "INVALID_ARGUMENT", "^max_tokens"),
        ({"min_tokens": 9, "max_tokens": 8}, {}, "INVALID_ARGUMENT", "^min_tokens"),
        ({"temperature": -1.0}, {}, "INVALID_ARGUMENT", "^temperature"),
        ({"temperature": 1.0, "top_p": 2.0}, {}, "INVALID_ARGUMENT", "^top_p"),
        ({"temperature": 1.0, "seed": 2**64 - 1}, {}, "INVALID_ARGUMENT", "^seed"),
        ({"beginning": "a unicorn"}, {}, "INVALID_ARGUMENT", "^beginning.*unicorn"),
        ({"attention": True}, {"model_name": "blind"}, "INVALID_ARGUMENT", "^attention"),
    ],
)
@pytest.mark.parametrize("method", ["Caption", "StreamCaption"])
def test_what_cannot_be_is_refused_by_its_name(
    methods: Any,
    method: str,
    options: dict[str, Any],
    fields: dict[str, Any],
    code: str,
    complaint: str,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _first(methods[method](options, **{"images": images(0), **fields}))
    assert caught.value.code().name == code
    assert re.search(complaint, str(caught.value.details()))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "neither video nor frames"),
        ({"video": b"\x1a\x45\xdf\xa3 webm"}, "WebM"),
        ({"video": b"no video at all"}, "video"),
    ],
)
def test_what_is_no_video_is_refused(methods: Any, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        methods["CaptionVideo"](**fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert complaint in str(caught.value.details())


def _first(answer: Any) -> Any:
    return next(answer) if hasattr(answer, "__next__") else answer


def _cancelled(server: ServerProcess) -> float:
    return server.metric(
        "quartet_generation_texts_total", model="eye", version="1", reason="cancelled"
    )


def _wait_until_stopped(server: ServerProcess, before: float) -> None:
    """More captions are counted as cancelled than ``before``, and no row is written or waits."""
    wait_until(lambda: _cancelled(server) > before, "the count of a cancelled caption")
    wait_until(
        lambda: server.metric("quartet_generation_rows", model="eye", version="1") == 0,
        "free slots",
    )
