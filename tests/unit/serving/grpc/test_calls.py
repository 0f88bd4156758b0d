import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tritonclient.utils import InferenceServerException

from serving import errors
from serving.grpc.calls import host_of
from tests.patience import TIMEOUT_S

Message = Callable[[str], bytes]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InferenceFailed("the engine failed"), "INTERNAL"),
        (errors.InvalidInput("wrong dtype"), "INVALID_ARGUMENT"),
        (errors.PayloadTooLarge("too large"), "RESOURCE_EXHAUSTED"),
        (errors.ModelNotFound("Request for unknown model: 'é' is not found"), "NOT_FOUND"),
        (errors.QueueFull("Exceeds maximum queue size"), "RESOURCE_EXHAUSTED"),
        (errors.DeadlineExceeded("Request timeout expired"), "DEADLINE_EXCEEDED"),
        (errors.ModelNotReady("loading"), "UNAVAILABLE"),
        (errors.ShuttingDown("the server is shutting down"), "UNAVAILABLE"),
        (errors.NotSupported("no"), "UNIMPLEMENTED"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_infer_maps_each_error_to_its_status(
    infer: Any, message: Message, service: Any, error: errors.ServingError, code: str
) -> None:
    service.error = error
    with pytest.raises(grpc.RpcError) as caught:
        infer(message("echo"))
    assert caught.value.code().name == code
    assert caught.value.details() == error.message


def test_infer_tells_when_to_retry_when_the_queue_is_full(
    infer: Any, message: Message, service: Any
) -> None:
    service.error = errors.QueueFull("full", retry_after_s=0.25)
    with pytest.raises(grpc.RpcError) as caught:
        infer(message("echo"))
    trailing: Any = caught.value.trailing_metadata()
    assert dict(trailing)["grpc-retry-pushback-ms"] == "250"


def test_infer_shortens_a_text_that_would_not_fit_a_header(
    infer: Any, message: Message, service: Any
) -> None:
    service.error = errors.InvalidInput("x" * 100_000)
    with pytest.raises(grpc.RpcError) as caught:
        infer(message("echo"))
    assert caught.value.details() == "x" * 797 + "..."


def test_infer_hides_a_crash_but_names_the_log_line(
    infer: Any, message: Message, service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.error = RuntimeError("secret path /x")
    with pytest.raises(grpc.RpcError) as caught:
        infer(message("echo"), metadata=(("x-request-id", "call-1"),))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    details = "internal error; the server's log has it under request id call-1"
    assert caught.value.details() == details
    record = next(record for record in caplog.records if record.name == "serving.grpc")
    assert record.exc_info is not None
    assert vars(record)["request_id"] == "call-1"


def test_infer_blames_the_client_when_the_message_is_garbage(infer: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        infer(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "the message is not a valid inference.ModelInferRequest"


@pytest.mark.parametrize("method", ["RepositoryIndex", "Nothing"])
def test_methods_that_are_not_served_answer_unimplemented(channel: Any, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("offered", ["abc-1", None, "bad id"])
def test_request_id_is_the_callers_or_a_new_one(
    infer: Any, message: Message, service: Any, offered: str | None
) -> None:
    metadata = (("x-request-id", offered),) if offered else ()
    _, call = infer.with_call(message("echo"), metadata=metadata)
    answered = dict(call.trailing_metadata())["x-request-id"]
    assert answered == service.infer_requests[0].request_id
    assert answered == offered or uuid.UUID(hex=str(answered))


def test_deadline_reaches_the_service(infer: Any, message: Message, service: Any) -> None:
    before = time.monotonic()
    infer(message("echo"), timeout=100)
    assert before + 90 < service.infer_requests[0].deadline < time.monotonic() + 110


def test_deadline_is_none_when_the_client_sets_none(
    infer: Any, message: Message, service: Any
) -> None:
    infer(message("echo"))
    assert service.infer_requests[0].deadline is None


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.7:5123", "10.0.0.7"),
        ("ipv6:%5B::1%5D:5123", "::1"),
        ("ipv6:[fe80::2]:5123", "fe80::2"),
        ("unix:/tmp/socket", ""),
        ("", ""),
    ],
)
def test_host_is_that_of_the_address(peer: str, host: str) -> None:
    assert host_of(peer) == host


def test_service_is_told_who_calls(infer: Any, message: Message, service: Any) -> None:
    infer(message("echo"))
    assert service.infer_requests[0].client in ("127.0.0.1", "::1")


def test_request_is_dropped_when_its_deadline_passes(
    infer: Any, message: Message, service: Any
) -> None:
    # Time enough to get there on a machine that is busy with other things.
    with pytest.raises(grpc.RpcError) as caught:
        infer(message("wait"), timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert service.cancelled.wait(TIMEOUT_S)


def test_request_is_dropped_when_its_client_leaves(
    infer: Any, message: Message, service: Any
) -> None:
    call = infer.future(message("wait"))
    assert service.entered.wait(TIMEOUT_S)
    call.cancel()
    assert service.cancelled.wait(TIMEOUT_S)


def test_failures_are_counted_when_the_service_never_saw_the_request(
    infer: Any, service: Any
) -> None:
    with pytest.raises(grpc.RpcError):
        infer(b"\xff")
    assert service.refused == [("grpc", "invalid")]


def test_crashes_are_counted(infer: Any, message: Message, service: Any) -> None:
    service.error = RuntimeError("bug")
    with pytest.raises(grpc.RpcError):
        infer(message("echo"))
    assert service.refused == [("grpc", "error")]


def test_failed_look_ups_are_not_counted(client: Any, service: Any) -> None:
    with pytest.raises(InferenceServerException):
        client.get_model_metadata("nothing")
    assert service.refused == []
