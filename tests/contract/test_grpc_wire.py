"""What gRPC carries beside the calls that ``tritonclient`` makes."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.grpc import service_pb2 as stock
from tritonclient.grpc import service_pb2_grpc as stock_grpc

from serving.pb.inference import open_inference_grpc_pb2 as ours
from tests.e2e.fixtures import StartServer
from tests.e2e.graphs import identity, write_model
from tests.e2e.process import ServerProcess
from tests.patience import TIMEOUT_S

pytestmark = pytest.mark.e2e
TWO = np.array([[1, 2]], np.float32)


@pytest.fixture(scope="module")
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    """A channel that takes messages of any size."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> stock_grpc.GRPCInferenceServiceStub:
    """The stubs that tritonclient generated from Triton's own proto."""
    return stock_grpc.GRPCInferenceServiceStub(channel)


def request(model: str = "identity_fp32", raw: bytes | None = None) -> stock.ModelInferRequest:
    message = stock.ModelInferRequest(model_name=model)
    message.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    if raw is not None:
        message.raw_input_contents.append(raw)
    return message


def code_of(stub: stock_grpc.GRPCInferenceServiceStub, message: stock.ModelInferRequest) -> str:
    with pytest.raises(grpc.RpcError) as refusal:
        stub.ModelInfer(message, timeout=TIMEOUT_S)
    assert refusal.value.details()
    return str(refusal.value.code().name)


def test_our_messages_are_those_of_the_stock_client_on_the_wire() -> None:
    message = request(raw=TWO.tobytes())
    message.id, message.model_version = "7", "1"
    message.parameters["p"].double_param = 0.5
    message.outputs.add(name="y").parameters["binary_data"].bool_param = True
    read = ours.ModelInferRequest.FromString(message.SerializeToString())
    assert stock.ModelInferRequest.FromString(read.SerializeToString()) == message
    assert read.parameters["p"].double_param == 0.5
    assert read.raw_input_contents[0] == TWO.tobytes()


def test_typed_and_raw_contents_together_are_refused(
    stub: stock_grpc.GRPCInferenceServiceStub,
) -> None:
    message = request(raw=TWO.tobytes())
    message.inputs[0].contents.fp32_contents.extend([1, 2])
    assert code_of(stub, message) == "INVALID_ARGUMENT"


def test_input_without_data_is_refused(stub: stock_grpc.GRPCInferenceServiceStub) -> None:
    assert code_of(stub, request()) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_raw_contents_of_another_size_are_refused(
    stub: stock_grpc.GRPCInferenceServiceStub, size: int
) -> None:
    assert code_of(stub, request(raw=bytes(size))) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("version", ["abc", "-1", "1.0"])
def test_version_that_is_no_number_is_refused(
    stub: stock_grpc.GRPCInferenceServiceStub, version: str
) -> None:
    message = request(raw=TWO.tobytes())
    message.model_version = version
    assert code_of(stub, message) == "INVALID_ARGUMENT"


def test_twenty_megabytes_go_in_and_come_out(stub: stock_grpc.GRPCInferenceServiceStub) -> None:
    values = np.arange(5_000_000, dtype=np.float32)
    message = stock.ModelInferRequest(model_name="identity_fp32")
    message.inputs.add(name="x", datatype="FP32", shape=[1, values.size])
    message.raw_input_contents.append(values.tobytes())
    assert stub.ModelInfer(message).raw_output_contents[0] == values.tobytes()


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_read(
    stub: stock_grpc.GRPCInferenceServiceStub, compression: grpc.Compression
) -> None:
    raw = bytes(8)
    answer = stub.ModelInfer(request(raw=raw), compression=compression)
    assert answer.raw_output_contents[0] == raw


def test_request_id_comes_back_in_the_trailing_metadata(
    stub: stock_grpc.GRPCInferenceServiceStub,
) -> None:
    _, call = stub.ModelInfer.with_call(
        request(raw=TWO.tobytes()), metadata=(("x-request-id", "call-9"),)
    )
    assert dict(call.trailing_metadata())["x-request-id"] == "call-9"


def test_methods_of_later_extensions_are_unimplemented(
    stub: stock_grpc.GRPCInferenceServiceStub,
) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        stub.RepositoryIndex(stock.RepositoryIndexRequest(), timeout=TIMEOUT_S)
    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_bytes_that_are_no_message_are_the_clients_fault(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", None, None)
    with pytest.raises(grpc.RpcError) as refusal:
        call(b"\xff\xff\xff", timeout=TIMEOUT_S)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "service", ["", "inference.GRPCInferenceService", "quartet.v1.Quartet", "fixed"]
)
def test_health_check_serves_for_server_services_and_models(
    channel: grpc.Channel, service: str
) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_check_of_a_model_that_failed_is_not_serving(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service="broken"), timeout=TIMEOUT_S)
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_health_check_of_an_unknown_name_is_not_found(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as refusal:
        health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=TIMEOUT_S)
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_and_describes_the_services(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    names = set(database.get_services())
    assert {
        "inference.GRPCInferenceService",
        "quartet.v1.Quartet",
        "grpc.health.v1.Health",
    } <= names
    file = database.FindFileContainingSymbol("inference.GRPCInferenceService")
    assert "ModelInferRequest" in {message.name for message in file.message_type}


def test_message_over_the_limit_is_refused_and_the_connection_lives(
    start_server: StartServer, tmp_path: Path
) -> None:
    write_model(tmp_path, "identity_fp32", identity("FP32"))
    small = start_server(tmp_path, "--grpc.max-message-bytes", "4000").wait_ready()
    with grpc.insecure_channel(small.grpc_address) as channel:
        stub = stock_grpc.GRPCInferenceServiceStub(channel)
        assert code_of(stub, request(raw=bytes(6000))) == "RESOURCE_EXHAUSTED"
        bomb = request(raw=bytes(100_000))
        with pytest.raises(grpc.RpcError) as refusal:
            stub.ModelInfer(bomb, timeout=TIMEOUT_S, compression=grpc.Compression.Gzip)
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stub.ModelInfer(request(raw=bytes(8)), timeout=TIMEOUT_S).raw_output_contents


def test_reserved_parameter_is_refused(stub: stock_grpc.GRPCInferenceServiceStub) -> None:
    message = request(raw=TWO.tobytes())
    message.parameters["triton_unknown"].bool_param = True
    assert code_of(stub, message) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("key", ["classification", "shared_memory_region"])
def test_extension_that_is_not_served_is_unimplemented(
    stub: stock_grpc.GRPCInferenceServiceStub, key: str
) -> None:
    message = request(raw=TWO.tobytes())
    message.outputs.add(name="y").parameters[key].int64_param = 1
    assert code_of(stub, message) == "UNIMPLEMENTED"


def test_request_id_comes_back_with_an_error(stub: stock_grpc.GRPCInferenceServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        stub.ModelInfer(
            request("nobody"), timeout=TIMEOUT_S, metadata=(("x-request-id", "call-10"),)
        )
    trailing = refusal.value.trailing_metadata() or ()
    assert [str(item.value) for item in trailing if item.key == "x-request-id"] == ["call-10"]
