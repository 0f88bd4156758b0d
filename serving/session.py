"""One ONNX graph: its declared tensors, and running it."""

import ctypes
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from quartet.config import ConfigError
from serving.errors import InferenceFailed, ServingError, ShuttingDown
from serving.providers import CPU_PROVIDER, Device
from serving.types import ONNX_DATATYPES, Array, Datatype, TensorSpec

BFLOAT16_ELEMENT_TYPE = 16
"""``onnx.TensorProto.BFLOAT16``; NumPy has no such dtype, so the type travels beside the array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How a session uses threads and memory."""

    intra_op_threads: int = 1
    inter_op_threads: int = 1
    memory_arena: bool = True
    memory_pattern: bool = True


class Interrupter:
    """Ends the runs of all sessions of a server: those that serve, and those that are loading."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: weakref.WeakSet[OnnxSession] = weakref.WeakSet()
        self._interrupted = False

    def add(self, session: "OnnxSession") -> "OnnxSession":
        """Have ``session`` interrupted with the others; at once if they have been. Any thread."""
        with self._lock:
            self._sessions.add(session)
            if self._interrupted:
                session.interrupt()
        return session

    def interrupt(self) -> None:
        """Let every run, also those to come, end before its next operator."""
        with self._lock:
            self._interrupted = True
            for session in self._sessions:
                session.interrupt()


class OnnxSession:
    """A loaded graph. ``run`` may be called from several threads at once.

    Attributes:
        inputs: the graph's inputs.
        outputs: the graph's tensor outputs. Sequences and maps cannot travel on the wire.
        hidden_outputs: outputs left out for that reason, with their types.
        metadata: the file's ``metadata_props``.
        provider: the execution provider that really runs.
    """

    def __init__(self, path: Path, device: Device, options: SessionOptions) -> None:
        """Load ``path``.

        Raises:
            ConfigError: the file is not a model this engine runs, or the device was not honoured.
        """
        try:
            self._session = onnxruntime.InferenceSession(
                path, _session_options(options), providers=device.provider_list()
            )
        except Exception as error:  # onnxruntime's own share no other base
            raise ConfigError(f"{path.name}: ONNX Runtime cannot load it: {error}") from error
        self.provider: str = self._session.get_providers()[0]
        if self.provider != device.provider:
            raise ConfigError(
                f"{path.name}: {device.provider} was wanted but {self.provider} would run"
            )
        self._run_options = onnxruntime.RunOptions()
        self.inputs = tuple(_input_spec(node, path) for node in self._session.get_inputs())
        nodes = self._session.get_outputs()
        self.outputs = tuple(_spec(node) for node in nodes if node.type in ONNX_DATATYPES)
        self.hidden_outputs = {n.name: n.type for n in nodes if n.type not in ONNX_DATATYPES}
        if not self.outputs:
            raise ConfigError(f"{path.name}: no output is a tensor, got {self.hidden_outputs}")
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._bfloat16 = frozenset(
            spec.name for spec in (*self.inputs, *self.outputs) if spec.datatype is Datatype.BF16
        )
        if self._bfloat16 and any(spec.datatype is Datatype.BYTES for spec in self.inputs):
            raise ConfigError(
                f"{path.name}: string and bfloat16 tensors in one graph are not served"
            )

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Run one batch.

        Args:
            inputs: input name -> C-contiguous array in the input's datatype; strings as ``str``
                objects, bfloat16 as uint16 bit patterns.
            outputs: names wanted.

        Returns: one array an output, in the order of ``outputs``, in the same forms.

        Raises:
            InferenceFailed: the engine refused or failed; the text is the engine's own.
            ShuttingDown: ``interrupt`` was called.
        """
        try:
            if self._bfloat16:
                return self._run_bfloat16(inputs, outputs)
            results: list[Array] = self._session.run(outputs, inputs, self._run_options)
        except Exception as error:
            raise self._failure(error) from error
        return results

    def new_binding(self) -> onnxruntime.IOBinding:
        """Names memory for the graph's inputs and outputs. One thread may use it at a time.

        Host memory that is bound must be C-contiguous and live until the run has ended; what is
        bound for an output must have the shape that the graph gives.
        """
        return self._session.io_binding()

    def run_bound(self, binding: onnxruntime.IOBinding) -> None:
        """Run from and into the memory of ``binding``, without a copy where it lies on the device.

        Raises:
            InferenceFailed, ShuttingDown: as ``run``. What is bound for the outputs is undefined.
        """
        try:
            if self.provider == CPU_PROVIDER:
                self._session.run_with_iobinding(binding, self._run_options)
                return
            # Copies to and from the device run beside the host until they are waited for.
            binding.synchronize_inputs()
            self._session.run_with_iobinding(binding, self._run_options)
            binding.synchronize_outputs()
        except Exception as error:
            raise self._failure(error) from error

    def interrupt(self) -> None:
        """Let every run, also those to come, end before its next operator."""
        self._run_options.terminate = True

    def _failure(self, error: Exception) -> ServingError:
        """What a run that raised ``error`` means to the client."""
        if self._run_options.terminate:
            return ShuttingDown("the model was unloaded while the request ran")
        return InferenceFailed(f"ONNX Runtime: {error}")

    def _run_bfloat16(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """``run`` by way of OrtValues, which know the type that NumPy does not."""
        feed = {
            name: _bfloat16_value(array)
            if name in self._bfloat16
            else onnxruntime.OrtValue.ortvalue_from_numpy(array)
            for name, array in inputs.items()
        }
        values = self._session.run_with_ort_values(outputs, feed, self._run_options)
        return [
            _bfloat16_bits(value) if name in self._bfloat16 else value.numpy()
            for name, value in zip(outputs, values, strict=True)
        ]


def _session_options(options: SessionOptions) -> onnxruntime.SessionOptions:
    result = onnxruntime.SessionOptions()
    result.intra_op_num_threads = options.intra_op_threads
    result.inter_op_num_threads = options.inter_op_threads
    result.enable_cpu_mem_arena = options.memory_arena
    result.enable_mem_pattern = options.memory_pattern
    result.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Spinning threads burn the CPU quota of a container while they wait.
    result.add_session_config_entry("session.intra_op.allow_spinning", "0")
    result.log_severity_level = 3
    return result


def _input_spec(node: onnxruntime.NodeArg, path: Path) -> TensorSpec:
    if node.type not in ONNX_DATATYPES:
        raise ConfigError(
            f"{path.name}: input {node.name!r} is {node.type}; served are tensors of "
            + ", ".join(ONNX_DATATYPES)
        )
    return _spec(node)


def _spec(node: onnxruntime.NodeArg) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape or ())
    first = node.shape[0] if node.shape else None
    return TensorSpec(
        node.name,
        ONNX_DATATYPES[node.type],
        shape,
        first_axis=first if isinstance(first, str) else "",
    )


def _bfloat16_value(array: Array) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, BFLOAT16_ELEMENT_TYPE)


def _bfloat16_bits(value: onnxruntime.OrtValue) -> Array:
    """The raw 16-bit patterns of a bfloat16 tensor in host memory, copied."""
    shape = tuple(value.shape())
    if 0 in shape:
        return np.zeros(shape, np.uint16)
    pointer = ctypes.cast(value.data_ptr(), ctypes.POINTER(ctypes.c_uint16))
    return np.ctypeslib.as_array(pointer, shape).copy()
