"""The same behaviour over every transport: one body, the stock clients as parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.contract.transports import RAW_TRANSPORTS, Array, Refused, Request, Transport, samples
from tests.e2e.graphs import DATATYPES
from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e
A = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
B = np.array([[10, 20], [30, 40], [50, 60]], np.float32)


def two_inputs(**more: object) -> Request:
    """A valid request of three rows."""
    fields: dict[str, object] = {
        "model": "sum_and_difference",
        "inputs": {"a": ("FP32", A), "b": ("FP32", B)},
    }
    return Request(**(fields | more))  # type: ignore[arg-type]  # fields of a test's own choice


def configured(version: str = "", rows: int = 1) -> Request:
    zeros = np.zeros((rows, 2), np.float32)
    return Request(model="configured", version=version, inputs={"x": ("FP32", zeros)})


def test_health_is_good_when_ready(transport: Transport) -> None:
    assert transport.call("is_server_live") is True
    assert transport.call("is_server_ready") is True
    assert transport.call("is_model_ready", "fixed") is True
    assert transport.call("is_model_ready", "configured", "2") is True


@pytest.mark.parametrize("name", ["nobody", "broken", "golden_differs", "bad_config"])
def test_model_ready_is_false_when_it_cannot_serve(transport: Transport, name: str) -> None:
    assert transport.call("is_model_ready", name) is False


def test_server_metadata_lists_extensions_that_work(transport: Transport) -> None:
    metadata = transport.call("get_server_metadata")
    assert metadata["name"] == "quartet"
    assert "binary_tensor_data" in metadata["extensions"]
    assert "classification" not in metadata["extensions"]


def test_model_metadata_shows_batch_axis_and_versions(transport: Transport) -> None:
    metadata = transport.call("get_model_metadata", "configured")
    assert metadata["name"] == "configured"
    assert metadata["platform"] == "onnxruntime_onnx"
    assert metadata["versions"] == ["1", "2", "3"]
    assert [tensor(t) for t in metadata["inputs"]] == [("x", "FP32", [-1, 2])]
    assert [tensor(t) for t in metadata["outputs"]] == [("y", "FP32", [-1, 2])]


def test_model_metadata_shows_one_version_when_asked(transport: Transport) -> None:
    assert transport.call("get_model_metadata", "configured", "2")["versions"] == ["2"]


def test_infer_gives_all_outputs_in_the_models_order(transport: Transport) -> None:
    result = transport.infer(two_inputs())
    assert list(result.outputs) == ["sum", "difference"]
    np.testing.assert_array_equal(result.outputs["sum"][1], A + B)
    np.testing.assert_array_equal(result.outputs["difference"][1], A - B)
    assert (result.model, result.version) == ("sum_and_difference", "1")


def test_infer_gives_outputs_in_the_order_asked(transport: Transport) -> None:
    result = transport.infer(two_inputs(outputs=["difference", "sum"]))
    assert list(result.outputs) == ["difference", "sum"]


def test_infer_gives_only_the_outputs_asked_for(transport: Transport) -> None:
    result = transport.infer(two_inputs(outputs=["difference"]))
    assert list(result.outputs) == ["difference"]


@pytest.mark.parametrize("given", ["", "7", "an id/with ~ characters é"])
def test_infer_echoes_the_clients_id(transport: Transport, given: str) -> None:
    assert transport.infer(two_inputs(id=given)).id == given


@pytest.mark.parametrize(("version", "ran"), [("", "3"), ("1", "1"), ("2", "2"), ("3", "3")])
def test_infer_runs_the_version_asked_for(transport: Transport, version: str, ran: str) -> None:
    result = transport.infer(configured(version))
    assert result.version == ran
    np.testing.assert_array_equal(result.outputs["y"][1], [[float(ran)] * 2])


def test_infer_serves_a_model_that_does_not_batch(transport: Transport) -> None:
    values = np.array([[1, -2], [3, 0.5]], np.float32)
    result = transport.infer(Request(model="fixed", inputs={"x": ("FP32", values)}))
    np.testing.assert_array_equal(result.outputs["y"][1], -values)


@pytest.mark.parametrize("datatype", [d for d in DATATYPES if d not in ("FP16", "BF16")])
def test_every_datatype_comes_back_bit_for_bit(transport: Transport, datatype: str) -> None:
    check_identity(transport, datatype)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
@pytest.mark.parametrize("name", RAW_TRANSPORTS)
def test_half_floats_come_back_bit_for_bit(
    transports: Mapping[str, Transport], name: str, datatype: str
) -> None:
    check_identity(transports[name], datatype)


def test_every_transport_gives_the_same_numbers(transports: Mapping[str, Transport]) -> None:
    values = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    request = two_inputs(inputs={"a": ("FP32", values), "b": ("FP32", values[::-1].copy())})
    results = [client.infer(request).outputs["difference"][1] for client in transports.values()]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("value", [True, 5, "text"])
def test_parameters_unknown_to_the_model_are_accepted(
    transport: Transport, value: bool | int | str
) -> None:
    assert transport.infer(two_inputs(parameters={"anything": value})).outputs


def test_empty_final_response_is_accepted_though_it_changes_nothing(
    transports: Mapping[str, Transport],
) -> None:
    """perf_analyzer sends it with every request; tritonclient itself refuses the name."""
    request = two_inputs(parameters={"triton_enable_empty_final_response": True})
    assert transports["grpc-typed"].infer(request).outputs


BAD_REQUESTS: dict[str, tuple[Request, str, tuple[str, ...]]] = {
    "unknown model": (two_inputs(model="nobody"), "NOT_FOUND", ("nobody",)),
    "unknown version": (two_inputs(version="9"), "NOT_FOUND", ("sum_and_difference", "9")),
    "broken model": (two_inputs(model="broken"), "UNAVAILABLE", ("broken",)),
    "failed golden check": (
        two_inputs(model="golden_differs"),
        "UNAVAILABLE",
        ("golden_differs", "golden check failed"),
    ),
    "invalid configuration": (
        two_inputs(model="bad_config"),
        "UNAVAILABLE",
        ("config.pbtxt", "max_batch_size"),
    ),
    "unknown input": (
        two_inputs(inputs={"a": ("FP32", A), "b": ("FP32", B), "z": ("FP32", A)}),
        "INVALID_ARGUMENT",
        ("unexpected inference input", "z"),
    ),
    "missing input": (
        two_inputs(inputs={"a": ("FP32", A)}),
        "INVALID_ARGUMENT",
        ("expected 2 inputs but got 1", "b"),
    ),
    "unknown output": (
        two_inputs(outputs=["z"]),
        "INVALID_ARGUMENT",
        ("unexpected inference output", "z"),
    ),
    "wrong datatype": (
        two_inputs(inputs={"a": ("FP64", A.astype(np.float64)), "b": ("FP32", B)}),
        "INVALID_ARGUMENT",
        ("'a'", "FP64", "FP32"),
    ),
    "wrong rank": (
        two_inputs(inputs={"a": ("FP32", A[0]), "b": ("FP32", B)}),
        "INVALID_ARGUMENT",
        ("unexpected shape for input 'a'", "[-1, 2]", "[2]"),
    ),
    "wrong size": (
        two_inputs(inputs={"a": ("FP32", A[:, :1].copy()), "b": ("FP32", B)}),
        "INVALID_ARGUMENT",
        ("unexpected shape for input 'a'", "[3, 1]"),
    ),
    "unequal batches": (
        two_inputs(inputs={"a": ("FP32", A[:1]), "b": ("FP32", B)}),
        "INVALID_ARGUMENT",
        ("batch size",),
    ),
    "batch too big": (configured(rows=5), "INVALID_ARGUMENT", ("must be <= 4", "configured")),
    "batch of nothing": (configured(rows=0), "INVALID_ARGUMENT", ("batch",)),
    "engine fails": (
        Request(model="look_up", inputs={"index": ("INT64", np.array([[99]], np.int64))}),
        "INTERNAL",
        ("ONNX Runtime",),
    ),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_request_is_refused_with_its_reason(transport: Transport, case: str) -> None:
    request, code, words = BAD_REQUESTS[case]
    with pytest.raises(Refused) as refusal:
        transport.infer(request)
    assert refusal.value.code == code
    for word in words:
        assert word in refusal.value.text
    assert transport.infer(two_inputs()).outputs


@pytest.mark.parametrize("method", ["get_model_metadata", "get_model_config"])
@pytest.mark.parametrize("version", ["", "1"])
def test_inspection_of_an_unknown_model_is_not_found(
    transport: Transport, method: str, version: str
) -> None:
    with pytest.raises(Refused) as refusal:
        transport.call(method, "nobody", version)
    assert refusal.value.code == "NOT_FOUND"
    assert "nobody" in refusal.value.text


def test_model_config_is_the_effective_one(transport: Transport) -> None:
    config = transport.call("get_model_config", "configured")
    config = config.get("config", config)
    assert config["name"] == "configured"
    assert config["max_batch_size"] == 4
    assert config["input"][0]["name"] == "x"
    assert "dynamic_batching" in config


def test_statistics_rise_by_what_was_inferred(transport: Transport) -> None:
    before = statistics(transport)
    transport.infer(two_inputs())
    after = statistics(transport)
    assert int(after["inference_count"]) - int(before.get("inference_count", 0)) == len(A)
    successes = [int(s["inference_stats"]["success"].get("count", 0)) for s in (before, after)]
    assert successes[1] - successes[0] == 1


def test_failure_of_one_request_leaves_its_company_alone(
    server: ServerProcess, transports: Mapping[str, Transport]
) -> None:
    good = Request(model="look_up", inputs={"index": ("INT64", np.array([[1]], np.int64))})
    bad = Request(model="look_up", inputs={"index": ("INT64", np.array([[99]], np.int64))})
    for client in transports.values():
        with pytest.raises(Refused):
            client.infer(bad)
        np.testing.assert_array_equal(client.infer(good).outputs["y"][1], [[20.0]])


def check_identity(transport: Transport, datatype: str) -> None:
    values = samples(datatype)
    model = f"identity_{datatype.lower()}"
    result = transport.infer(Request(model=model, inputs={"x": (datatype, values)}))
    wire, got = result.outputs["y"]
    assert wire == datatype
    assert got.shape == values.shape
    if datatype == "BYTES":
        assert as_bytes(got) == as_bytes(values)
    else:
        assert got.dtype == values.dtype
        assert got.tobytes() == values.tobytes()


def as_bytes(values: Array) -> list[bytes]:
    return [v.encode() if isinstance(v, str) else bytes(v) for v in values.ravel()]


def tensor(entry: Mapping[str, Any]) -> tuple[object, object, list[int]]:
    """Over gRPC, JSON writes 64-bit integers as text."""
    return entry["name"], entry["datatype"], [int(size) for size in entry["shape"]]


def statistics(transport: Transport) -> dict[str, Any]:
    answer = transport.call("get_inference_statistics", "sum_and_difference")
    stats: dict[str, Any] = answer["model_stats"][0]
    return stats
