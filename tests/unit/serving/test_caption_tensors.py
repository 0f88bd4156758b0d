"""Requests of the inference protocol for captioners, and their answers."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving.caption_tensors import (
    CAPTION_INPUTS,
    CAPTION_OUTPUTS,
    CaptionCall,
    caption_tensors,
    parse_caption_call,
)
from serving.caption_types import CaptionOptions, CaptionRequest, CaptionResponse
from serving.errors import InvalidInput
from serving.types import Array, Datatype, InferRequest, ParameterValue, Tensor
from tests.fake_captions import caption_of

JPEG = b"\xff\xd8\xff\xe0 no whole file \0\n"


def image_tensor(*elements: bytes, shape: tuple[int, ...] = (-1,)) -> Tensor:
    data = np.empty(len(elements), np.object_)
    data[:] = elements
    return Tensor(Datatype.BYTES, data.reshape(shape))


def infer(*images: bytes, **parameters: ParameterValue) -> InferRequest:
    return InferRequest(
        model_name="m", inputs={"image": image_tensor(*images or (JPEG,))}, parameters=parameters
    )


def options(**parameters: ParameterValue) -> CaptionOptions:
    return parse_caption_call(infer(**parameters)).request.options


def answer(captions: int, *found: int, outputs: tuple[str, ...] = ()) -> dict[str, Array]:
    """The arrays where ``captions`` were wanted and ``found`` for each picture."""
    request = infer(*[JPEG] * len(found))
    request.outputs = outputs
    response = CaptionResponse(
        model_name="m",
        model_version="3",
        seed=None,
        results=tuple(
            tuple(caption_of(image, number) for number in range(count))
            for image, count in enumerate(found)
        ),
    )
    tensors = caption_tensors(response, captions, parse_caption_call(request)).outputs
    return {name: tensor.data for name, tensor in tensors.items()}


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), (200, 30, 90)).save(stream, kind)
    return stream.getvalue()


def test_a_request_without_parameters_leaves_all_to_the_model() -> None:
    request = infer(JPEG, b"\x89PNG")
    request.model_version, request.id, request.deadline = "2", "7", 5.0
    request.protocol, request.request_id, request.client = "grpc", "r", "10.0.0.7"
    assert parse_caption_call(request) == CaptionCall(
        CaptionRequest(
            model_name="m",
            model_version="2",
            images=(JPEG, b"\x89PNG"),
            deadline=5.0,
            id="7",
            protocol="grpc",
            request_id="r",
            client="10.0.0.7",
        ),
        ("caption", "log_probability"),
    )


def test_every_parameter_is_read() -> None:
    found = options(
        captions=2,
        beam_width=4,
        length_penalty=1,
        min_tokens=3,
        max_tokens=9,
        temperature=0.5,
        top_k=5,
        top_p=0.9,
        seed=2**60,
        beginning="a dog",
    )
    assert found == CaptionOptions(
        captions=2,
        beam_width=4,
        length_penalty=1.0,
        min_tokens=3,
        max_tokens=9,
        temperature=0.5,
        top_k=5,
        top_p=0.9,
        seed=2**60,
        beginning="a dog",
    )


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"captions": True}, "^parameter 'captions': expected a whole number, got True"),
        ({"beam_width": 2.0}, "^parameter 'beam_width': expected a whole number, got 2.0"),
        ({"temperature": "hot"}, "^parameter 'temperature': expected a number, got 'hot'"),
        ({"beginning": 5}, "^parameter 'beginning': expected a string, got 5"),
        ({"timeout": -1}, "^parameter 'timeout' is whole microseconds >= 0, got -1"),
        ({"attention": True}, "^unknown parameter 'attention' for model 'm'; it knows captions,"),
        ({"sequence_id": 4}, "^unknown parameter 'sequence_id'"),
    ],
)
def test_wrong_parameter_is_refused_by_its_name(
    parameters: dict[str, ParameterValue], complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        options(**parameters)


def test_parameter_for_the_transport_is_passed_over() -> None:
    assert options(triton_enable_empty_final_response=True) == CaptionOptions()


def test_the_earlier_of_timeout_and_deadline_counts() -> None:
    request = infer(timeout=5_000_000)
    assert parse_caption_call(request, lambda: 10.0).request.deadline == 15.0
    request.deadline = 11.0
    assert parse_caption_call(request, lambda: 10.0).request.deadline == 11.0


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ({}, r"^expected 1 inputs but got 0 inputs for model 'm'.*\['image'\]"),
        (
            {"image": image_tensor(JPEG), "x": image_tensor(JPEG)},
            r"^unexpected inference input 'x' for model 'm'; it has \['image'\]",
        ),
        (
            {"image": Tensor(Datatype.UINT8, np.zeros(4, np.uint8))},
            "^inference input 'image' data-type is 'UINT8', but model 'm' expects 'BYTES'",
        ),
        (
            {"image": image_tensor(JPEG, shape=(1, 1))},
            r"^unexpected shape for input 'image' for model 'm'. Expected \[-1\], got \[1, 1\]",
        ),
        (
            {"image": image_tensor(JPEG, shape=())},
            r"^unexpected shape for input 'image' for model 'm'. Expected \[-1\], got \[\]",
        ),
    ],
)
def test_wrong_input_is_refused_as_that_of_a_graph(inputs: Any, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        parse_caption_call(InferRequest(model_name="m", inputs=inputs))


def test_unknown_output_is_refused() -> None:
    request = infer()
    request.outputs = ("caption", "attention")
    with pytest.raises(InvalidInput, match="unexpected inference output 'attention'"):
        parse_caption_call(request)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_file_is_taken_as_it_is_and_from_base64(kind: str) -> None:
    file = picture(kind)
    text = base64.b64encode(file)
    request = infer(file, text, base64.encodebytes(file))
    assert parse_caption_call(request).request.images == (file,) * 3


@pytest.mark.parametrize("element", [b"", b"no picture!", b"abc", b"P6 2 2 255 abcd"])
def test_what_is_neither_file_nor_base64_is_left_to_the_decoder(element: bytes) -> None:
    assert parse_caption_call(infer(element)).request.images == (element,)


def test_answer_has_the_declared_names_types_and_axes() -> None:
    request = infer()
    call = parse_caption_call(request)
    response = CaptionResponse(
        model_name="m", model_version="3", seed=None, results=((caption_of(0, 0),),)
    )
    infered = caption_tensors(response, 1, call)
    assert (infered.model_name, infered.model_version, infered.final) == ("m", "3", True)
    assert list(infered.outputs) == [spec.name for spec in CAPTION_OUTPUTS]
    for spec in CAPTION_OUTPUTS:
        tensor = infered.outputs[spec.name]
        assert (tensor.datatype, tensor.shape) == (spec.datatype, (1,))
    assert len(CAPTION_INPUTS) == 1


def test_captions_of_a_picture_stand_side_by_side_pictures_in_order() -> None:
    arrays = answer(2, 2, 2)
    expected = [caption_of(image, number) for image in range(2) for number in range(2)]
    assert arrays["caption"].tolist() == [caption.text.encode() for caption in expected]
    np.testing.assert_array_equal(
        arrays["log_probability"],
        np.array([caption.log_probability for caption in expected], np.float32),
    )


def test_captions_that_were_not_found_are_empty_and_impossible() -> None:
    arrays = answer(3, 1, 3)
    first = caption_of(0, 0)
    assert arrays["caption"].tolist()[:3] == [first.text.encode(), b"", b""]
    assert arrays["log_probability"][:3].tolist() == [
        np.float32(first.log_probability),
        -np.inf,
        -np.inf,
    ]
    assert arrays["caption"][3] == caption_of(1, 0).text.encode()


def test_outputs_come_in_the_order_in_which_they_are_wanted() -> None:
    assert list(answer(1, 1, outputs=("log_probability", "caption"))) == [
        "log_probability",
        "caption",
    ]
    assert list(answer(1, 1, outputs=("caption",))) == ["caption"]
