"""Captioners under the inference protocol: encoded pictures in, captions out, as tensors.

Such a model takes ``image`` BYTES [images] and gives ``caption`` BYTES and ``log_probability`` FP32
(nats), both of the shape [images * captions]: those of the first picture, best first, then those of
the second, so that ``reshape(images, captions)`` parts them. ``captions`` is the request's, or the
model's where the request is silent. If a search found fewer for a picture, the last ones are an
empty text of log-probability minus infinity. What the fields of ``CaptionOptions`` say otherwise is
said by request parameters of the same names; attention has no place among these outputs.

An element of ``image`` is the bytes of a file, or their base64 (RFC 4648, section 4; white space is
skipped), since JSON cannot carry bytes. No picture is both: every format that is read has bytes
outside base64's alphabet in its header.
"""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from serving.call_parameters import (
    Reader,
    earliest_end,
    only_input,
    read_microseconds,
    read_number,
    read_parameters,
    read_text,
    read_whole,
    unexpected_shape,
    wanted_outputs,
)
from serving.caption_types import Caption, CaptionOptions, CaptionRequest, CaptionResponse
from serving.tensors import bytes_array
from serving.types import Datatype, InferRequest, InferResponse, Tensor, TensorSpec

IMAGE = "image"
CAPTION = "caption"
LOG_PROBABILITY = "log_probability"
CAPTION_INPUTS = (TensorSpec(IMAGE, Datatype.BYTES, (-1,)),)
"""The input of every captioner."""
CAPTION_OUTPUTS = (
    TensorSpec(CAPTION, Datatype.BYTES, (-1,)),
    TensorSpec(LOG_PROBABILITY, Datatype.FP32, (-1,)),
)
"""The outputs of every captioner."""

_OUTPUT_NAMES = tuple(spec.name for spec in CAPTION_OUTPUTS)


@dataclass(frozen=True, slots=True)
class CaptionCall:
    """What an InferRequest asks of a captioner."""

    request: CaptionRequest
    outputs: tuple[str, ...]
    """Names wanted, in the order of the answer."""


def parse_caption_call(
    request: InferRequest, clock: Callable[[], float] = time.monotonic
) -> CaptionCall:
    """Read a request for a captioner. Whether its options are in range is the model's to say.

    Args:
        request: with ``image`` and nothing else as input.
        clock: of deadlines; parameter ``timeout`` counts from now.

    Raises:
        InvalidInput: a tensor or parameter is wrong; the text says what was expected.
    """
    values = read_parameters(request, _READERS)
    deadline = earliest_end(request.deadline, values.pop("timeout", 0), clock)
    tensor = only_input(request, IMAGE)
    if len(tensor.shape) != 1:
        raise unexpected_shape(request, IMAGE, CAPTION_INPUTS[0].shape)
    return CaptionCall(
        CaptionRequest(
            model_name=request.model_name,
            model_version=request.model_version,
            images=tuple(_file_bytes(element) for element in tensor.data.tolist()),
            options=CaptionOptions(**values),
            client=request.client,
            deadline=deadline,
            id=request.id,
            protocol=request.protocol,
            request_id=request.request_id,
        ),
        wanted_outputs(request, _OUTPUT_NAMES),
    )


def caption_tensors(response: CaptionResponse, captions: int, call: CaptionCall) -> InferResponse:
    """The answer to ``call``.

    Args:
        response: what was found.
        captions: wanted of each picture; missing ones are filled up.
        call: says which outputs, and whose answer it is.
    """
    found = list(chain.from_iterable(_filled(result, captions) for result in response.results))
    tensors = {
        CAPTION: Tensor(Datatype.BYTES, bytes_array([text.encode() for text, _ in found])),
        LOG_PROBABILITY: Tensor(Datatype.FP32, np.array([value for _, value in found], np.float32)),
    }
    return InferResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        outputs={name: tensors[name] for name in call.outputs},
        id=call.request.id,
    )


def _filled(result: tuple[Caption, ...], captions: int) -> list[tuple[str, float]]:
    """Text and log-probability of so many captions."""
    found = [(caption.text, caption.log_probability) for caption in result]
    return found + [("", -np.inf)] * (captions - len(found))


def _file_bytes(element: bytes) -> bytes:
    """The file that an element is, or that its base64 stands for."""
    if not element.isascii():
        return element
    try:
        return base64.b64decode(b"".join(element.split()), validate=True)
    except binascii.Error:
        # Neither: the decoder of pictures says what it is.
        return element


_READERS: Mapping[str, Reader] = {
    "captions": read_whole,
    "beam_width": read_whole,
    "length_penalty": read_number,
    "min_tokens": read_whole,
    "max_tokens": read_whole,
    "temperature": read_number,
    "top_k": read_whole,
    "top_p": read_number,
    "seed": read_whole,
    "beginning": read_text,
    "timeout": read_microseconds,
}
"""Parameter -> how it is read."""
