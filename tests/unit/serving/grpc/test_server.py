from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.utils import InferenceServerException

from quartet.config import ConfigError
from serving.grpc.server import GrpcServer, channel_options
from serving.pb.inference import open_inference_grpc_pb2 as pb
from serving.settings import GrpcSettings
from tests.patience import TIMEOUT_S

INFER = "/inference.GRPCInferenceService/ModelInfer"
Message = Callable[[str], bytes]
Serve = Callable[[GrpcSettings], AbstractContextManager[Any]]
ONE = np.array([[1.5, -2.0]], np.float32)
CLIENTS = 8


def tensor(array: Any) -> Any:
    given = triton.InferInput("x", list(array.shape), "FP32")
    given.set_data_from_numpy(array)
    return given


def first_refusal(address: str, data: bytes) -> grpc.StatusCode:
    """Call until the listening socket is closed."""
    opened: Any = grpc.insecure_channel(address)
    with opened as channel:
        while True:
            try:
                channel.unary_unary(INFER)(data, timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                return error.code()


def test_infer_carries_20_megabytes_both_ways(client: Any) -> None:
    values = np.arange(5_000_000, dtype=np.float32)
    result = client.infer("echo", [tensor(values)])
    np.testing.assert_array_equal(result.as_numpy("x"), values)


def test_infer_refuses_a_message_over_the_limit_and_goes_on(serve: Serve) -> None:
    with (
        serve(GrpcSettings(max_message_bytes=10_000)) as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        with pytest.raises(InferenceServerException, match="larger than max") as caught:
            client.infer("echo", [tensor(np.zeros(10_000, np.float32))])
        assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        client.infer("echo", [tensor(ONE)])


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_infer_takes_compressed_messages(client: Any, algorithm: str) -> None:
    result = client.infer("echo", [tensor(ONE)], compression_algorithm=algorithm)
    np.testing.assert_array_equal(result.as_numpy("x"), ONE)


def test_infer_refuses_a_small_message_that_inflates_over_the_limit(serve: Serve) -> None:
    bomb = tensor(np.zeros(1_000_000, np.float32))
    with (
        serve(GrpcSettings(max_message_bytes=100_000)) as server,
        triton.InferenceServerClient(server.address) as client,
        pytest.raises(InferenceServerException) as caught,
    ):
        client.infer("echo", [bomb], compression_algorithm="gzip")
    assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


def test_stop_lets_calls_in_flight_finish(
    server: Any, infer: Any, message: Message, service: Any
) -> None:
    call = infer.future(message("wait"))
    assert service.entered.wait(TIMEOUT_S)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(server.stop, TIMEOUT_S)
        refusal = first_refusal(server.address, message("echo"))
        service.go_on.set()
        stopping.result(TIMEOUT_S)
    # A call that meets the closing of the socket itself is CANCELLED by gRPC's core.
    assert refusal in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert pb.ModelInferResponse.FromString(call.result(TIMEOUT_S)).model_name == "wait"


def test_stop_cancels_calls_in_flight_when_the_grace_is_over(
    server: Any, infer: Any, message: Message, service: Any
) -> None:
    call = infer.future(message("wait"))
    assert service.entered.wait(TIMEOUT_S)
    server.stop(0.05)
    assert call.exception(TIMEOUT_S) is not None
    assert service.cancelled.wait(TIMEOUT_S)


def test_finish_answers_all_calls_of_clients_that_wait_for_answers(
    server: Any, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None meets the closing door: each reads the goodbye before its answer, and goes elsewhere.

    Elsewhere nobody listens here, which is UNAVAILABLE; gRPC's core would say CANCELLED.
    """
    monkeypatch.setattr("serving.grpc.server.HOLD_S", 0.5)
    with ThreadPoolExecutor(CLIENTS) as pool:
        ends = [pool.submit(first_refusal, server.address, message("echo")) for _ in range(CLIENTS)]
        server.finish(TIMEOUT_S)
        assert {end.result(TIMEOUT_S) for end in ends} == {grpc.StatusCode.UNAVAILABLE}


def test_finish_waits_for_calls_in_flight(
    server: Any, infer: Any, message: Message, service: Any
) -> None:
    call = infer.future(message("wait"))
    assert service.entered.wait(TIMEOUT_S)
    with ThreadPoolExecutor(1) as pool:
        finishing = pool.submit(server.finish, TIMEOUT_S)
        assert first_refusal(server.address, message("echo")) is grpc.StatusCode.UNAVAILABLE
        assert not finishing.done()
        service.go_on.set()
        finishing.result(TIMEOUT_S)
    assert pb.ModelInferResponse.FromString(call.result(TIMEOUT_S)).model_name == "wait"


async def test_finish_returns_when_nothing_was_started(service: Any) -> None:
    await GrpcServer(service, GrpcSettings()).finish(1.0)


async def test_start_names_the_address_when_the_port_is_taken(server: Any, service: Any) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=rf"gRPC cannot listen on 127\.0\.0\.1:{port}"):
        await GrpcServer(service, GrpcSettings()).start("127.0.0.1", port)


def test_reflection_describes_every_service(channel: Any) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    assert services == {
        "inference.GRPCInferenceService",
        "quartet.v1.Quartet",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    pool: Any = DescriptorPool(database)
    found = {name: pool.FindServiceByName(name).full_name for name in services}
    assert set(found) == set(found.values())


def test_reflection_can_be_switched_off(serve: Serve) -> None:
    with (
        serve(GrpcSettings(reflection=False)) as server,
        grpc.insecure_channel(server.address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        ProtoReflectionDescriptorDatabase(channel).get_services()
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_settings_are_given_to_grpc_in_milliseconds_and_bytes() -> None:
    settings = GrpcSettings(
        max_message_bytes=123, max_connection_age_s=1.5, max_connection_age_grace_s=0.25
    )
    options = dict(channel_options(settings))
    assert options["grpc.max_receive_message_length"] == 123
    assert options["grpc.max_send_message_length"] == 123
    assert options["grpc.max_connection_age_ms"] == 1500
    assert options["grpc.max_connection_age_grace_ms"] == 250
    assert options["grpc.so_reuseport"] == 0


def test_connections_are_renewed_after_their_age_without_losing_a_call(
    serve: Serve, message: Message
) -> None:
    settings = GrpcSettings(max_connection_age_s=0.05, max_connection_age_grace_s=TIMEOUT_S)
    with serve(settings) as server:
        opened: Any = grpc.insecure_channel(server.address)
        with opened as channel:
            states: list[Any] = []
            channel.subscribe(states.append)
            while grpc.ChannelConnectivity.IDLE not in states[1:]:
                channel.unary_unary(INFER)(message("echo"), timeout=TIMEOUT_S)
            channel.unary_unary(INFER)(message("echo"), timeout=TIMEOUT_S)
