"""Holds a request against the model: names, types, shapes, rows; every fault named."""

from collections.abc import Container, Mapping

import numpy as np

from serving.effective_config import EffectiveConfig
from serving.errors import InvalidInput, NotSupported
from serving.scheduler import SequenceStep, Work
from serving.sequence_step import read_sequence_step
from serving.types import Array, Datatype, InferRequest, ParameterValue, Tensor, TensorSpec

RESERVED_PREFIX = "triton_"
"""Parameters that begin so are the protocol's own; unknown ones are refused."""
_KNOWN_RESERVED = frozenset(("triton_enable_empty_final_response",))
"""The protocol's own that change nothing here: a unary answer is always the final one."""

UNSERVED_PARAMETERS = ("classification", "shared_memory_region")
"""Parameters of inputs and outputs whose extensions the server does not list."""

_LONGEST_TIMEOUT_US = 2**63 - 1
_NO_ROWS = -1


def refuse_unserved(parameters: Container[str], owner: str) -> None:
    """Tell a client that asks for an extension which is not served.

    Args:
        parameters: names of the parameters of one input or output.
        owner: which one, for the error, as in ``input 'x'``.

    Raises:
        NotSupported: one of them belongs to such an extension.
    """
    for name in UNSERVED_PARAMETERS:
        if name in parameters:
            raise NotSupported(f"parameter {name!r} of {owner}: this extension is not served")


class RequestChecker:
    """Turns the requests of one model version into work for its scheduler."""

    def __init__(self, name: str, config: EffectiveConfig) -> None:
        self._name = name
        self._config = config
        self._inputs = {spec.name: spec for spec in config.inputs}
        self._required = frozenset(spec.name for spec in config.inputs if not spec.optional)
        self._all_outputs = tuple(spec.name for spec in config.outputs)

    def check(self, request: InferRequest) -> Work:
        """The work that ``request`` asks for.

        Raises:
            InvalidInput: the request does not fit the model; the text says what was expected.
        """
        self._check_names(request.inputs)
        arrays = {name: self._checked_input(name, t) for name, t in request.inputs.items()}
        rows = self._rows(arrays) if self._config.batches else 1
        return Work(
            inputs=arrays,
            rows=rows,
            outputs=self._outputs(request.outputs),
            deadline=request.deadline,
            queue_timeout_s=self._queue_timeout(request.parameters),
            sequence=self._sequence(request.parameters, rows),
        )

    def _check_names(self, inputs: Mapping[str, Tensor]) -> None:
        given = inputs.keys()
        for name in given:
            if name not in self._inputs:
                raise InvalidInput(
                    f"unexpected inference input {name!r} for model {self._name!r}; "
                    f"it has {list(self._inputs)}"
                )
        if not self._required <= given:
            missing = [name for name in self._inputs if name in self._required - given]
            raise InvalidInput(
                f"expected {len(self._inputs)} inputs but got {len(given)} inputs for model "
                f"{self._name!r}. Got input(s) {list(given)}, but missing required input(s) "
                f"{missing}"
            )

    def _checked_input(self, name: str, tensor: Tensor) -> Array:
        spec = self._inputs[name]
        if tensor.datatype is not spec.datatype:
            raise InvalidInput(
                f"inference input {name!r} data-type is {tensor.datatype.wire!r}, "
                f"but model {self._name!r} expects {spec.datatype.wire!r}"
            )
        if not _fits(tensor.data.shape, spec.shape):
            raise InvalidInput(
                f"unexpected shape for input {name!r} for model {self._name!r}. "
                f"Expected {_shape(spec)}, got {list(tensor.data.shape)}"
            )
        if spec.datatype is Datatype.BYTES:
            return _as_text(name, tensor.data)
        return tensor.data

    def _rows(self, arrays: Mapping[str, Array]) -> int:
        if self._config.sequences is not None and not arrays:
            return 1  # a graph of nothing but states and controls
        rows = _NO_ROWS
        for name, array in arrays.items():
            if rows == _NO_ROWS:
                rows = array.shape[0]
            elif array.shape[0] != rows:
                raise InvalidInput(
                    f"input {name!r} has batch size {array.shape[0]}, another input has {rows}; "
                    f"all inputs of model {self._name!r} share their first axis"
                )
        if rows < 1:
            raise InvalidInput(f"batch size is {rows} for model {self._name!r}; expected >= 1")
        if rows > self._config.max_batch_size:
            raise InvalidInput(
                f"inference request batch-size must be <= {self._config.max_batch_size} "
                f"for {self._name!r}, got {rows}"
            )
        return rows

    def _sequence(self, parameters: Mapping[str, ParameterValue], rows: int) -> SequenceStep | None:
        """The step that the request is; None for a model without state, as Triton has it."""
        plan = self._config.sequences
        if plan is None:
            return None
        if rows != 1:
            raise InvalidInput(
                f"inference request to model '{self._name}' must specify batch-size 1 due to "
                f"requirements of sequence batcher, got {rows}"
            )
        return read_sequence_step(self._name, parameters, plan.id_type)

    def _outputs(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        for name in wanted:
            if name not in self._all_outputs:
                raise InvalidInput(
                    f"unexpected inference output {name!r} for model {self._name!r}; "
                    f"it has {list(self._all_outputs)}"
                )
        return wanted or self._all_outputs

    def _queue_timeout(self, parameters: Mapping[str, ParameterValue]) -> float | None:
        """The queue's limit for this request; ``timeout``, microseconds, may only shorten it."""
        if not parameters:
            return self._config.default_timeout_s
        for name in parameters:
            if name.startswith(RESERVED_PREFIX) and name not in _KNOWN_RESERVED:
                raise InvalidInput(f"parameter {name!r} is reserved")
        timeout_us = parameters.get("timeout", 0)
        if isinstance(timeout_us, bool) or not isinstance(timeout_us, int) or timeout_us < 0:
            raise InvalidInput(
                f"parameter 'timeout' is whole microseconds >= 0, got {timeout_us!r}"
            )
        if not timeout_us or not self._config.allow_timeout_override:
            return self._config.default_timeout_s
        asked_s = min(timeout_us, _LONGEST_TIMEOUT_US) / 1e6
        limit_s = self._config.default_timeout_s
        return asked_s if limit_s is None else min(asked_s, limit_s)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        free in (-1, size) for size, free in zip(shape, wanted, strict=True)
    )


def _shape(spec: TensorSpec) -> list[int]:
    return list(spec.shape)


def _as_text(name: str, array: Array) -> Array:
    """ONNX strings are text: ``bytes`` objects become ``str``."""
    try:
        texts = [element.decode() for element in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"input {name!r} is a string tensor of an ONNX model, whose elements are UTF-8; "
            f"got bytes that are not: {error}"
        ) from error
    result = np.empty(len(texts), dtype=np.object_)
    result[:] = texts
    return result.reshape(array.shape)
