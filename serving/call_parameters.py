"""What requests of the inference protocol say in parameters to models that are no graph.

Such a model has one input of BYTES; everything else that a request wants is said in parameters. An
unknown one is refused, since it would be a wish that nobody heeds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serving.errors import InvalidInput
from serving.types import Datatype, InferRequest, ParameterValue, Tensor

Reader = Callable[[str, ParameterValue], Any]
"""From a parameter's name and value to what it means; raises InvalidInput."""

_LONGEST_TIMEOUT_US = 2**63 - 1
_IGNORED = frozenset(("triton_enable_empty_final_response",))
"""Meant for the transport."""


def read_parameters(request: InferRequest, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The values of all parameters of ``request``, under their names.

    Raises:
        InvalidInput: one is unknown, or what its reader raises.
    """
    values: dict[str, Any] = {}
    for name, value in request.parameters.items():
        reader = readers.get(name)
        if reader is not None:
            values[name] = reader(name, value)
        elif name not in _IGNORED:
            raise InvalidInput(
                f"unknown parameter {name[:80]!r} for model {request.model_name!r}; "
                f"it knows {', '.join(readers)}"
            )
    return values


def earliest_end(
    deadline: float | None, timeout_us: int, clock: Callable[[], float]
) -> float | None:
    """When nobody waits any more, on ``clock``; None: never.

    Args:
        deadline: that of the call, if it has one.
        timeout_us: parameter ``timeout``, microseconds from now; 0 for none.
        clock: seconds.
    """
    if not timeout_us:
        return deadline
    end = clock() + min(timeout_us, _LONGEST_TIMEOUT_US) / 1e6
    return end if deadline is None else min(deadline, end)


def only_input(request: InferRequest, name: str) -> Tensor:
    """The one input of a request, of any shape. The errors read as those of a graph's inputs.

    Raises:
        InvalidInput: it is missing, not BYTES, or there are others.
    """
    model = request.model_name
    for given in request.inputs:
        if given != name:
            raise InvalidInput(
                f"unexpected inference input {given!r} for model {model!r}; it has {[name]}"
            )
    tensor = request.inputs.get(name)
    if tensor is None:
        raise InvalidInput(
            f"expected 1 inputs but got 0 inputs for model {model!r}. Got input(s) [], but missing "
            f"required input(s) {[name]}"
        )
    if tensor.datatype is not Datatype.BYTES:
        raise InvalidInput(
            f"inference input {name!r} data-type is {tensor.datatype.wire!r}, "
            f"but model {model!r} expects 'BYTES'"
        )
    return tensor


def unexpected_shape(request: InferRequest, name: str, expected: Sequence[int]) -> InvalidInput:
    """The error of an input whose shape is not ``expected``."""
    return InvalidInput(
        f"unexpected shape for input {name!r} for model {request.model_name!r}. "
        f"Expected {list(expected)}, got {list(request.inputs[name].shape)}"
    )


def wanted_outputs(request: InferRequest, known: tuple[str, ...]) -> tuple[str, ...]:
    """The outputs that are wanted, in the order of the answer: all ``known`` if none is named.

    Raises:
        InvalidInput: one is not among them.
    """
    for name in request.outputs:
        if name not in known:
            raise InvalidInput(
                f"unexpected inference output {name!r} for model {request.model_name!r}; "
                f"it has {list(known)}"
            )
    return request.outputs or known


def wrong_parameter(name: str, expected: str, value: ParameterValue) -> InvalidInput:
    """The error of a parameter that is not what was ``expected``."""
    return InvalidInput(f"parameter {name!r}: expected {expected}, got {value!r:.80}")


def read_whole(name: str, value: ParameterValue) -> int:
    """Reader of a whole number of any size."""
    if type(value) is not int:
        raise wrong_parameter(name, "a whole number", value)
    return value


def read_microseconds(name: str, value: ParameterValue) -> int:
    """Reader of a duration."""
    if type(value) is not int or value < 0:
        raise InvalidInput(f"parameter {name!r} is whole microseconds >= 0, got {value!r:.80}")
    return value


def read_number(name: str, value: ParameterValue) -> float:
    """Reader of a number that a double can hold; it may be no number at all."""
    if isinstance(value, bool | str):
        raise wrong_parameter(name, "a number", value)
    try:
        return float(value)
    except OverflowError:
        raise wrong_parameter(name, "a number", value) from None


def read_flag(name: str, value: ParameterValue) -> bool:
    """Reader of true or false."""
    if not isinstance(value, bool):
        raise wrong_parameter(name, "true or false", value)
    return value


def read_text(name: str, value: ParameterValue) -> str:
    """Reader of a string."""
    if not isinstance(value, str):
        raise wrong_parameter(name, "a string", value)
    return value
