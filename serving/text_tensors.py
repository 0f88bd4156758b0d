"""Text models under the inference protocol: text and parameters in tensors' clothes.

Such a model takes ``text_input`` BYTES [1] and gives ``text_output``, ``finish_reason`` and
``receipt``, BYTES [1] each. How the text is drawn is said by request parameters; the last two
outputs are empty but in the last answer to a request.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.call_parameters import (
    Reader,
    earliest_end,
    only_input,
    read_flag,
    read_microseconds,
    read_number,
    read_parameters,
    read_text,
    read_whole,
    unexpected_shape,
    wanted_outputs,
    wrong_parameter,
)
from serving.errors import InvalidInput
from serving.generation_types import GenerateRequest, Receipt
from serving.receipts import parse_receipt, receipt_json
from serving.scheduler import SequenceStep
from serving.types import (
    Datatype,
    InferRequest,
    InferResponse,
    ParameterValue,
    Tensor,
    TensorSpec,
)

TEXT_INPUT = "text_input"
TEXT_OUTPUT = "text_output"
FINISH_REASON = "finish_reason"
RECEIPT = "receipt"
TEXT_INPUTS = (TensorSpec(TEXT_INPUT, Datatype.BYTES, (1,)),)
"""The input of every text model."""
TEXT_OUTPUTS = tuple(
    TensorSpec(name, Datatype.BYTES, (1,)) for name in (TEXT_OUTPUT, FINISH_REASON, RECEIPT)
)
"""The outputs of every text model."""

_OUTPUT_NAMES = tuple(spec.name for spec in TEXT_OUTPUTS)


@dataclass(frozen=True, slots=True)
class TextCall:
    """What an InferRequest asks of a text model."""

    request: GenerateRequest
    sequence: SequenceStep | None
    """The kept state that the text belongs to, if it does to one."""
    outputs: tuple[str, ...]
    """Names wanted, in the order of the answer."""


def parse_text_call(request: InferRequest, clock: Callable[[], float] = time.monotonic) -> TextCall:
    """Read a request for a text model.

    Args:
        request: with ``text_input`` and nothing else as input.
        clock: of deadlines; parameter ``timeout`` counts from now.

    Raises:
        InvalidInput: a tensor or parameter is wrong; the text says what was expected.
    """
    values = read_parameters(request, _READERS)
    sequence = _sequence(values, request.model_name)
    deadline = earliest_end(request.deadline, values.pop("timeout", 0), clock)
    text = _text_input(request)
    return TextCall(
        GenerateRequest(
            model_name=request.model_name,
            model_version=request.model_version,
            prompt=text,
            client=request.client,
            deadline=deadline,
            id=request.id,
            protocol=request.protocol,
            request_id=request.request_id,
            **values,
        ),
        sequence,
        wanted_outputs(request, _OUTPUT_NAMES),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAnswerForm:
    """How the pieces of one answer become responses."""

    model_name: str
    model_version: str
    receipt: Receipt
    id: str
    outputs: tuple[str, ...]

    def response(self, text: str, finish_reason: str | None) -> InferResponse:
        """One piece; with a ``finish_reason`` it is the last."""
        final = finish_reason is not None
        values = {
            TEXT_OUTPUT: text,
            FINISH_REASON: finish_reason or "",
            RECEIPT: receipt_json(self.receipt) if final else "",
        }
        return InferResponse(
            model_name=self.model_name,
            model_version=self.model_version,
            outputs={name: _text_tensor(values[name]) for name in self.outputs},
            id=self.id,
            final=final,
        )


def _text_tensor(text: str) -> Tensor:
    array = np.empty(1, np.object_)
    array[0] = text.encode()
    return Tensor(Datatype.BYTES, array)


def _text_input(request: InferRequest) -> str:
    tensor = only_input(request, TEXT_INPUT)
    if tensor.shape != (1,):
        raise unexpected_shape(request, TEXT_INPUT, (1,))
    try:
        text: str = tensor.data[0].decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"input {TEXT_INPUT!r} is not UTF-8: {error}") from None
    return text


def _sequence(values: dict[str, Any], model: str) -> SequenceStep | None:
    """Take the sequence parameters out of ``values``."""
    key = values.pop("sequence_id", 0)
    start, end = values.pop("sequence_start", False), values.pop("sequence_end", False)
    if not key:
        if start or end:
            raise InvalidInput(
                f"inference request to model {model!r} must specify a non-zero or non-empty "
                "correlation ID"
            )
        return None
    if values.get("session"):
        raise InvalidInput("session: leave it out or leave out sequence_id, a text has one state")
    return SequenceStep(id=key, start=start, end=end)


def _unknown(name: str, value: ParameterValue) -> str:
    if value not in ("map", "refuse"):
        raise wrong_parameter(name, "'map' or 'refuse'", value)
    return str(value)


def _stop(name: str, value: ParameterValue) -> tuple[str, ...]:
    """One string, or the JSON of a list of strings; what is no such JSON stands for itself."""
    text = read_text(name, value)
    if text.startswith("["):
        try:
            items: Any = json.loads(text)
        except (ValueError, RecursionError):
            return (text,)
        if isinstance(items, Sequence) and all(isinstance(item, str) for item in items):
            return tuple(items)
    return (text,)


def _receipt(name: str, value: ParameterValue) -> Receipt | None:
    text = read_text(name, value)
    return parse_receipt(text) if text else None


def _sequence_id(name: str, value: ParameterValue) -> int | str:
    if isinstance(value, bool | float):
        raise wrong_parameter(name, "a whole number or a string", value)
    return value


_READERS: Mapping[str, Reader] = {
    "max_tokens": read_whole,
    "temperature": read_number,
    "top_k": read_whole,
    "top_p": read_number,
    "repetition_penalty": read_number,
    "presence_penalty": read_number,
    "frequency_penalty": read_number,
    "seed": read_whole,
    "stop": _stop,
    "unknown": _unknown,
    "receipt": _receipt,
    "session": read_text,
    "echo": read_flag,
    "sequence_id": _sequence_id,
    "sequence_start": read_flag,
    "sequence_end": read_flag,
    "timeout": read_microseconds,
}
"""Parameter -> how it is read."""
