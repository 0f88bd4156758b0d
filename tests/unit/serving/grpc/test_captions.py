"""Captions over gRPC: every field both ways, the messages in their order, and what stops them."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from serving import errors
from serving.caption_types import CaptionOptions, CaptionPiece, CaptionRequest, Frame, VideoRequest
from serving.grpc.caption_messages import (
    decode_caption,
    decode_options,
    decode_video,
    encode_caption_piece,
)
from serving.pb.quartet.v1 import quartet_pb2 as pb
from serving.types import MAX_IMAGES
from tests.fake_captions import SEED, WORDS, attention_of, caption_of
from tests.patience import TIMEOUT_S

SERVICE = "/quartet.v1.Quartet/"
ALL_OPTIONS = pb.CaptionOptions(
    captions=2,
    beam_width=0,
    length_penalty=0.7,
    min_tokens=0,
    max_tokens=12,
    temperature=0.0,
    top_k=0,
    top_p=0.9,
    seed=2**63 - 1,
    beginning="a dog",
    attention=True,
)
PICTURE = pb.Image(data=b"\xff\xd8")


def request_of(images: int = 1, **options: Any) -> pb.CaptionRequest:
    return pb.CaptionRequest(
        model_name="m", images=[PICTURE] * images, options=pb.CaptionOptions(**options), id="call"
    )


@pytest.fixture
def caption(channel: Any) -> Callable[..., Any]:
    method = channel.unary_unary(
        SERVICE + "Caption",
        request_serializer=pb.CaptionRequest.SerializeToString,
        response_deserializer=pb.CaptionResponse.FromString,
    )
    return lambda request, **options: method(request, timeout=TIMEOUT_S, **options)


@pytest.fixture
def stream(channel: Any) -> Callable[..., Any]:
    method = channel.unary_stream(
        SERVICE + "StreamCaption",
        request_serializer=pb.CaptionRequest.SerializeToString,
        response_deserializer=pb.StreamCaptionResponse.FromString,
    )
    return lambda request, **options: method(request, timeout=TIMEOUT_S, **options)


@pytest.fixture
def video(channel: Any) -> Callable[..., Any]:
    method = channel.unary_unary(
        SERVICE + "CaptionVideo",
        request_serializer=pb.CaptionVideoRequest.SerializeToString,
        response_deserializer=pb.CaptionVideoResponse.FromString,
    )
    return lambda request, **options: method(request, timeout=TIMEOUT_S, **options)


def test_decode_reads_every_option() -> None:
    assert decode_options(ALL_OPTIONS) == CaptionOptions(
        captions=2,
        beam_width=0,
        length_penalty=0.7,
        min_tokens=0,
        max_tokens=12,
        temperature=0.0,
        top_k=0,
        top_p=0.9,
        seed=2**63 - 1,
        beginning="a dog",
        attention=True,
    )


def test_decode_leaves_options_that_are_not_given_to_the_model() -> None:
    assert decode_options(pb.CaptionOptions()) == CaptionOptions()


def test_decode_reads_every_field_of_a_request_for_pictures() -> None:
    message = pb.CaptionRequest(
        model_name="m",
        model_version="2",
        images=[pb.Image(data=b"a"), pb.Image(data=b"b")],
        options=pb.CaptionOptions(captions=3),
        client="c",
        id="call",
    )
    assert decode_caption(message) == CaptionRequest(
        model_name="m",
        model_version="2",
        images=(b"a", b"b"),
        options=CaptionOptions(captions=3),
        client="c",
        id="call",
        protocol="grpc",
    )


def test_decode_reads_every_field_of_a_request_for_a_video() -> None:
    message = pb.CaptionVideoRequest(
        model_name="m",
        model_version="2",
        video=b"GIF89a",
        options=pb.CaptionOptions(beam_width=3),
        client="c",
        id="call",
    )
    assert decode_video(message) == VideoRequest(
        model_name="m",
        model_version="2",
        video=b"GIF89a",
        options=CaptionOptions(beam_width=3),
        client="c",
        id="call",
        protocol="grpc",
    )


def test_decode_reads_frames_in_place_of_a_video() -> None:
    frames = [pb.VideoFrame(image=PICTURE), pb.VideoFrame(time_s=1.5, image=pb.Image(data=b"b"))]
    decoded = decode_video(pb.CaptionVideoRequest(frames=pb.FrameList(frames=frames)))
    assert decoded.video == b""
    assert decoded.frames == (Frame(0.0, b"\xff\xd8"), Frame(1.5, b"b"))


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (pb.CaptionRequest(), f"^0 images in one request, expected 1 to {MAX_IMAGES}$"),
        (
            pb.CaptionRequest(images=[PICTURE] * (MAX_IMAGES + 1)),
            f"^{MAX_IMAGES + 1} images in one request, expected 1 to {MAX_IMAGES}$",
        ),
        (
            pb.CaptionRequest(images=[PICTURE, pb.Image()]),
            r"^images\[1\] has 0 bytes, expected an encoded picture",
        ),
    ],
)
def test_decode_refuses_pictures_that_no_model_takes(
    message: pb.CaptionRequest, complaint: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=complaint):
        decode_caption(message)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (pb.CaptionVideoRequest(), "^neither video nor frames is given"),
        (pb.CaptionVideoRequest(video=b""), "^video has 0 bytes"),
        (pb.CaptionVideoRequest(frames=pb.FrameList()), "^frames is empty"),
        (
            pb.CaptionVideoRequest(
                frames=pb.FrameList(frames=[pb.VideoFrame(image=PICTURE), pb.VideoFrame(time_s=1)])
            ),
            r"^frames\[1\].image has 0 bytes",
        ),
    ],
)
def test_decode_refuses_videos_that_no_model_takes(
    message: pb.CaptionVideoRequest, complaint: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=complaint):
        decode_video(message)


def test_caption_answers_each_picture_in_order(caption: Any, service: Any) -> None:
    response = caption(request_of(images=2, captions=2))
    assert (response.model_name, response.model_version, response.id) == ("m", "3", "call")
    texts = [[found.text for found in result.captions] for result in response.results]
    assert texts == [[caption_of(i, n).text for n in range(2)] for i in range(2)]
    second = response.results[1].captions[1]
    expected = caption_of(1, 1)
    assert [(w.text, w.log_probability) for w in second.words] == [
        (w.text, w.log_probability) for w in expected.words
    ]
    assert second.log_probability == expected.log_probability
    assert second.finish_reason == pb.FINISH_REASON_LENGTH
    assert response.results[1].captions[0].finish_reason == pb.FINISH_REASON_STOP
    assert service.cancelled.is_set(), "every answer is closed"


@pytest.mark.parametrize(
    ("options", "seed"),
    [({}, None), ({"temperature": 0.5}, SEED), ({"temperature": 0.5, "seed": 0}, 0)],
)
def test_caption_tells_the_seed_only_of_a_draw(
    caption: Any, options: dict[str, Any], seed: int | None
) -> None:
    response = caption(request_of(**options))
    assert (response.seed if response.HasField("seed") else None) == seed


def test_caption_gives_attention_where_it_was_asked_for(caption: Any) -> None:
    (word, *_) = caption(request_of(attention=True)).results[0].captions[0].words
    found = np.array(word.attention.values, np.float32)
    expected = attention_of(0, 0, 0)
    assert (word.attention.rows, word.attention.columns) == expected.shape
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)
    (word, *_) = caption(request_of()).results[0].captions[0].words
    assert not word.HasField("attention")


def test_call_tells_the_service_its_deadline_and_id(caption: Any, service: Any) -> None:
    before = time.monotonic()
    message = request_of()
    message.client = "c"
    caption(message, metadata=(("x-request-id", "call-7"),))
    (request,) = service.captions.requests
    assert (request.request_id, request.client, request.protocol) == ("call-7", "c", "grpc")
    assert before < request.deadline < time.monotonic() + 1.1 * TIMEOUT_S


def test_caller_is_the_client_where_the_message_names_none(caption: Any, service: Any) -> None:
    caption(request_of())
    assert service.captions.requests[0].client in ("127.0.0.1", "::1")


def test_stream_comes_as_started_words_captions_and_finished(stream: Any, service: Any) -> None:
    messages = list(stream(request_of(captions=2)))
    first, second = len(WORDS) + 1, len(WORDS)
    assert [m.WhichOneof("event") for m in messages] == [
        "started",
        *["word"] * first,
        "caption",
        *["word"] * second,
        "caption",
        "finished",
    ]
    started = messages[0].started
    assert (started.model_name, started.model_version, started.id) == ("m", "3", "call")
    assert started.captions == 2
    assert not started.HasField("seed")
    words = [m.word for m in messages if m.WhichOneof("event") == "word"]
    assert [(w.image, w.caption) for w in words] == [(0, 0)] * first + [(0, 1)] * second
    wholes = [m.caption for m in messages if m.WhichOneof("event") == "caption"]
    for number, whole in enumerate(wholes):
        streamed = [w.word.text for w in words if w.caption == number]
        assert (whole.image, whole.caption) == (0, number)
        assert whole.whole.text == " ".join(streamed) == caption_of(0, number).text
    assert service.cancelled.is_set(), "every answer is closed"


def test_stream_sends_each_word_before_the_next_is_written(
    stream: Any, service: Any, server: Any
) -> None:
    gate = service.captions.gate = asyncio.Semaphore(0)

    async def one_more() -> None:
        gate.release()

    call = stream(request_of())
    assert next(call).WhichOneof("event") == "started"
    for word in WORDS:
        server.call(one_more())
        assert next(call).word.word.text == word
    call.cancel()


def test_stream_stops_when_the_client_cancels(stream: Any, service: Any) -> None:
    service.captions.gate = asyncio.Semaphore(1)
    call = stream(request_of())
    assert [next(call).WhichOneof("event") for _ in range(2)] == ["started", "word"]
    call.cancel()
    assert service.cancelled.wait(TIMEOUT_S)


def test_caption_stops_when_the_client_cancels(channel: Any, service: Any) -> None:
    service.captions.gate = asyncio.Semaphore(0)
    method = channel.unary_unary(SERVICE + "Caption")
    call = method.future(request_of().SerializeToString(), timeout=TIMEOUT_S)
    assert service.entered.wait(TIMEOUT_S)
    call.cancel()
    assert service.cancelled.wait(TIMEOUT_S)


def test_piece_of_a_word_and_its_captions_end_is_two_messages() -> None:
    whole = caption_of(0, 0)
    piece = CaptionPiece(image=1, caption=2, word=whole.words[-1], whole=whole)
    word, end = encode_caption_piece(piece)
    assert (word.word.image, word.word.caption, word.word.word.text) == (1, 2, "0")
    assert (end.caption.image, end.caption.caption, end.caption.whole.text) == (1, 2, whole.text)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotSupported("captions no pictures"), "UNIMPLEMENTED"),
        (errors.InvalidInput("beam_width"), "INVALID_ARGUMENT"),
        (errors.PayloadTooLarge("pixels"), "RESOURCE_EXHAUSTED"),
        (errors.QueueFull("full", retry_after_s=2.0), "RESOURCE_EXHAUSTED"),
        (errors.DeadlineExceeded("late"), "DEADLINE_EXCEEDED"),
    ],
)
def test_refusal_has_the_status_of_its_error_in_every_method(
    caption: Any, stream: Any, video: Any, service: Any, error: errors.ServingError, code: str
) -> None:
    service.error = error
    calls: tuple[Callable[[], Any], ...] = (
        lambda: caption(request_of()),
        lambda: next(stream(request_of())),
        lambda: video(pb.CaptionVideoRequest(video=b"GIF89a")),
    )
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code().name == code
        assert caught.value.details() == error.message
    assert service.refused == [("grpc", error.outcome)] * 3


def test_fault_in_the_middle_ends_the_stream_after_what_was_written(
    stream: Any, service: Any
) -> None:
    service.captions.fault = errors.InferenceFailed("the engine failed")
    service.captions.fault_at = 1
    call = stream(request_of())
    assert [next(call).WhichOneof("event") for _ in range(2)] == ["started", "word"]
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


def test_video_answers_its_scenes_in_order(video: Any, service: Any) -> None:
    response = video(
        pb.CaptionVideoRequest(
            model_name="m",
            video=b"GIF89a",
            options=pb.CaptionOptions(captions=2, temperature=1.0),
            id="call",
        )
    )
    assert (response.model_name, response.model_version, response.id) == ("m", "3", "call")
    assert (response.duration_s, response.frames, response.seed) == (4.5, 9, SEED)
    assert [(s.start_s, s.end_s, s.frame_s) for s in response.scenes] == [
        (0.0, 2.0, 1.0),
        (2.0, 4.5, 3.0),
    ]
    assert [[c.text for c in s.captions] for s in response.scenes] == [
        [caption_of(scene, number).text for number in range(2)] for scene in range(2)
    ]
    (request,) = service.captions.videos
    assert request.video == b"GIF89a"
    assert request.deadline is not None


def test_caption_that_is_garbage_is_the_clients_fault(channel: Any) -> None:
    for method in ("Caption", "CaptionVideo"):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(SERVICE + method)(b"\xff\xff", timeout=TIMEOUT_S)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
