"""Real ONNX Runtime sessions over tiny graphs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from quartet.config import ConfigError
from serving.errors import InferenceFailed, ShuttingDown
from serving.providers import Device
from serving.session import Interrupter, OnnxSession, SessionOptions
from serving.types import DATATYPES, Array, Datatype
from tests.e2e.graphs import identity, look_up, sum_and_difference

CPU = Device("cpu", "asked for")


@pytest.fixture
def open_session(tmp_path: Path) -> Callable[[onnx.ModelProto], OnnxSession]:
    def open_one(model: onnx.ModelProto) -> OnnxSession:
        onnx.save(model, tmp_path / "model.onnx")
        return OnnxSession(tmp_path / "model.onnx", CPU, SessionOptions())

    return open_one


Open = Callable[[onnx.ModelProto], OnnxSession]


def values_of(datatype: Datatype) -> Array:
    if datatype is Datatype.BYTES:
        return np.array([["a", "é", ""], ["\0b", "", "c"]], object)
    return np.array([[0, 1, 1], [1, 0, 1]]).astype(datatype.dtype)


@pytest.mark.parametrize("datatype", Datatype)
def test_run_gives_back_every_datatype(open_session: Open, datatype: Datatype) -> None:
    session = open_session(identity(datatype.wire))
    assert session.inputs[0].datatype is datatype
    assert session.outputs[0].shape == (-1, -1)
    values = values_of(datatype)
    (result,) = session.run({"x": values}, ["y"])
    np.testing.assert_array_equal(result, values)
    assert result.dtype == values.dtype


@pytest.mark.parametrize("datatype", [Datatype.BF16, Datatype.FP32])
def test_run_gives_back_empty_tensors(open_session: Open, datatype: Datatype) -> None:
    (result,) = open_session(identity(datatype.wire)).run(
        {"x": np.zeros((0, 3), datatype.dtype)}, ["y"]
    )
    assert result.shape == (0, 3)


def test_run_keeps_the_order_of_the_outputs_asked_for(open_session: Open) -> None:
    session = open_session(sum_and_difference())
    inputs = {"a": np.full((1, 2), 5, np.float32), "b": np.full((1, 2), 3, np.float32)}
    difference, total = session.run(inputs, ["difference", "sum"])
    assert (difference.tolist(), total.tolist()) == ([[2.0, 2.0]], [[8.0, 8.0]])
    assert len(session.run(inputs, ["sum"])) == 1


def test_run_passes_on_what_the_engine_says_when_it_fails(open_session: Open) -> None:
    with pytest.raises(InferenceFailed, match=r"ONNX Runtime: .*out of data bounds"):
        open_session(look_up()).run({"index": np.array([[7]])}, ["y"])


def test_session_reads_the_files_metadata(open_session: Open) -> None:
    model = identity("FP32")
    model.metadata_props.add(key="quartet.task", value="{}")
    session = open_session(model)
    assert session.metadata == {"quartet.task": "{}"}
    assert session.provider == "CPUExecutionProvider"


@pytest.mark.parametrize("content", [b"", b"text", b"\x08\x07" + b"\xff" * 40])
def test_session_names_the_file_when_it_is_no_model(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model\.onnx: "):
        OnnxSession(file, CPU, SessionOptions())


def test_session_names_the_file_when_it_is_cut_short(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(look_up().SerializeToString()[:-20])
    with pytest.raises(ConfigError, match=r"model\.onnx: ONNX Runtime cannot load it"):
        OnnxSession(file, CPU, SessionOptions())


def sequence_model(*, also_tensor: bool, as_input: bool = False) -> onnx.ModelProto:
    """X -> a sequence that holds x, and x itself if ``also_tensor``."""
    floats = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
    sequence = helper.make_sequence_type_proto(floats)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    if as_input:
        zero = helper.make_node("Constant", [], ["zero"], value_int=0)
        first = helper.make_node("SequenceAt", ["s", "zero"], ["y"])
        nodes, inputs, outputs = [zero, first], [helper.make_value_info("s", sequence)], [y]
    else:
        nodes = [helper.make_node("SequenceConstruct", ["x"], ["s"])]
        inputs, outputs = [x], [helper.make_value_info("s", sequence)]
        if also_tensor:
            nodes.append(helper.make_node("Identity", ["x"], ["y"]))
            outputs.append(y)
    graph = helper.make_graph(nodes, "graph", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_session_hides_outputs_that_are_no_tensors(open_session: Open) -> None:
    session = open_session(sequence_model(also_tensor=True))
    assert [spec.name for spec in session.outputs] == ["y"]
    assert session.hidden_outputs == {"s": "seq(tensor(float))"}


def test_session_refuses_a_graph_without_tensor_outputs(open_session: Open) -> None:
    with pytest.raises(ConfigError, match=r"no output is a tensor, got {'s': 'seq\(tensor"):
        open_session(sequence_model(also_tensor=False))


def test_session_refuses_inputs_that_are_no_tensors(open_session: Open) -> None:
    with pytest.raises(ConfigError, match=r"input 's' is seq\(tensor\(float\)\); served are"):
        open_session(sequence_model(also_tensor=True, as_input=True))


def test_session_refuses_to_run_on_another_provider_than_was_wanted(tmp_path: Path) -> None:
    onnx.save(identity("FP32"), tmp_path / "model.onnx")

    class Absent(Device):
        """A device whose provider is not there: the session would fall back without a word."""

        @property
        def provider(self) -> str:
            return "CUDAExecutionProvider"

    with pytest.raises(ConfigError, match="was wanted but CPUExecutionProvider would run"):
        OnnxSession(tmp_path / "model.onnx", Absent("cpu", ""), SessionOptions())


@pytest.mark.parametrize("datatype", ["FP32", "BF16"])
def test_interrupt_ends_runs_as_a_shutdown(open_session: Open, datatype: str) -> None:
    session = open_session(identity(datatype))
    inputs = {"x": np.zeros((1, 2), DATATYPES[datatype].dtype)}
    session.run(inputs, ["y"])
    session.interrupt()
    with pytest.raises(ShuttingDown, match="unloaded"):
        session.run(inputs, ["y"])


def test_interrupter_ends_runs_of_sessions_added_before_and_after(open_session: Open) -> None:
    interrupter = Interrupter()
    before = interrupter.add(open_session(identity("FP32")))
    other = open_session(identity("FP32"))
    interrupter.interrupt()
    after = interrupter.add(open_session(identity("FP32")))
    inputs = {"x": np.zeros((1, 2), np.float32)}
    for session in (before, after):
        with pytest.raises(ShuttingDown, match="unloaded"):
            session.run(inputs, ["y"])
    other.run(inputs, ["y"])


def bound(session: OnnxSession, x: Array, y: Array) -> onnxruntime.IOBinding:
    """``x`` as the input and ``y`` as the memory of the output, by their addresses."""
    binding = session.new_binding()
    binding.bind_input("x", "cpu", 0, x.dtype, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, y.dtype, y.shape, y.ctypes.data)
    return binding


def test_run_bound_writes_into_the_memory_that_was_bound(open_session: Open) -> None:
    session = open_session(identity("FP32"))
    x, y = np.array([[1, 2]], np.float32), np.zeros((1, 2), np.float32)
    binding = bound(session, x, y)
    session.run_bound(binding)
    assert y.tolist() == [[1.0, 2.0]]
    x[:] = 5
    session.run_bound(binding)
    assert y.tolist() == [[5.0, 5.0]]


def test_run_bound_passes_on_what_the_engine_says_when_it_fails(open_session: Open) -> None:
    session = open_session(identity("FP32"))
    binding = bound(session, np.zeros((2, 2), np.float32), np.zeros((1, 2), np.float32))
    with pytest.raises(InferenceFailed, match=r"ONNX Runtime: .*\{1,2\}"):
        session.run_bound(binding)


def test_interrupt_ends_bound_runs_as_a_shutdown(open_session: Open) -> None:
    session = open_session(identity("FP32"))
    binding = bound(session, np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32))
    session.interrupt()
    with pytest.raises(ShuttingDown, match="unloaded"):
        session.run_bound(binding)
