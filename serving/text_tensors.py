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
_LONGEST_TIMEOUT_US = 2**63 - 1
_IGNORED = frozenset(("triton_enable_empty_final_response",))
"""Meant for the transport."""


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
    values: dict[str, Any] = {}
    for name, value in request.parameters.items():
        reader = _READERS.get(name)
        if reader is not None:
            values[name] = reader(name, value)
        elif name not in _IGNORED:
            raise InvalidInput(
                f"unknown parameter {name[:80]!r} for model {request.model_name!r}; "
                f"it knows {', '.join(_READERS)}"
            )
    sequence = _sequence(values, request.model_name)
    timeout_us = values.pop("timeout", 0)
    deadline = request.deadline
    if timeout_us:
        end = clock() + min(timeout_us, _LONGEST_TIMEOUT_US) / 1e6
        deadline = end if deadline is None else min(deadline, end)
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
        _outputs(request),
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
    name = request.model_name
    for given in request.inputs:
        if given != TEXT_INPUT:
            raise InvalidInput(
                f"unexpected inference input {given!r} for model {name!r}; it has {[TEXT_INPUT]}"
            )
    tensor = request.inputs.get(TEXT_INPUT)
    if tensor is None:
        raise InvalidInput(
            f"expected 1 inputs but got 0 inputs for model {name!r}. Got input(s) [], but missing "
            f"required input(s) {[TEXT_INPUT]}"
        )
    if tensor.datatype is not Datatype.BYTES:
        raise InvalidInput(
            f"inference input {TEXT_INPUT!r} data-type is {tensor.datatype.wire!r}, "
            f"but model {name!r} expects 'BYTES'"
        )
    if tensor.shape != (1,):
        raise InvalidInput(
            f"unexpected shape for input {TEXT_INPUT!r} for model {name!r}. "
            f"Expected [1], got {list(tensor.shape)}"
        )
    try:
        text: str = tensor.data[0].decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"input {TEXT_INPUT!r} is not UTF-8: {error}") from None
    return text


def _outputs(request: InferRequest) -> tuple[str, ...]:
    for name in request.outputs:
        if name not in _OUTPUT_NAMES:
            raise InvalidInput(
                f"unexpected inference output {name!r} for model {request.model_name!r}; "
                f"it has {list(_OUTPUT_NAMES)}"
            )
    return request.outputs or _OUTPUT_NAMES


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


def _wrong(name: str, expected: str, value: ParameterValue) -> InvalidInput:
    return InvalidInput(f"parameter {name!r}: expected {expected}, got {value!r:.80}")


def _whole(name: str, value: ParameterValue) -> int:
    if type(value) is not int:
        raise _wrong(name, "a whole number", value)
    return value


def _microseconds(name: str, value: ParameterValue) -> int:
    if type(value) is not int or value < 0:
        raise InvalidInput(f"parameter {name!r} is whole microseconds >= 0, got {value!r:.80}")
    return value


def _number(name: str, value: ParameterValue) -> float:
    if isinstance(value, bool | str):
        raise _wrong(name, "a number", value)
    try:
        return float(value)
    except OverflowError:
        raise _wrong(name, "a number", value) from None


def _flag(name: str, value: ParameterValue) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def _text(name: str, value: ParameterValue) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "a string", value)
    return value


def _unknown(name: str, value: ParameterValue) -> str:
    if value not in ("map", "refuse"):
        raise _wrong(name, "'map' or 'refuse'", value)
    return str(value)


def _stop(name: str, value: ParameterValue) -> tuple[str, ...]:
    """One string, or the JSON of a list of strings; what is no such JSON stands for itself."""
    text = _text(name, value)
    if text.startswith("["):
        try:
            items: Any = json.loads(text)
        except (ValueError, RecursionError):
            return (text,)
        if isinstance(items, Sequence) and all(isinstance(item, str) for item in items):
            return tuple(items)
    return (text,)


def _receipt(name: str, value: ParameterValue) -> Receipt | None:
    text = _text(name, value)
    return parse_receipt(text) if text else None


def _sequence_id(name: str, value: ParameterValue) -> int | str:
    if isinstance(value, bool | float):
        raise _wrong(name, "a whole number or a string", value)
    return value


_READERS: Mapping[str, Callable[[str, ParameterValue], Any]] = {
    "max_tokens": _whole,
    "temperature": _number,
    "top_k": _whole,
    "top_p": _number,
    "repetition_penalty": _number,
    "presence_penalty": _number,
    "frequency_penalty": _number,
    "seed": _whole,
    "stop": _stop,
    "unknown": _unknown,
    "receipt": _receipt,
    "session": _text,
    "echo": _flag,
    "sequence_id": _sequence_id,
    "sequence_start": _flag,
    "sequence_end": _flag,
    "timeout": _microseconds,
}
"""Parameter -> how it is read."""
