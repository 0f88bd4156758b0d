"""The REST form of inference in JSON: what passes, and that each fault is a 400 with a reason."""

import json
import math
from typing import Any

import pytest

from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e


def tensor(datatype: str, shape: object, data: object, **more: object) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "shape": shape, "data": data, **more}


def y_of(server: ServerProcess, model: str, entry: dict[str, Any]) -> Any:
    answer = server.infer_json(model, {"inputs": [entry]})
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in answer.headers
    return json.loads(answer.body)["outputs"][0]["data"]


@pytest.mark.parametrize("data", [[1, 2, 3, 4.5], [[1, 2], [3, 4.5]]])
def test_data_may_be_flat_or_nested_as_the_shape(server: ServerProcess, data: object) -> None:
    assert y_of(server, "identity_fp32", tensor("FP32", [2, 2], data)) == [1, 2, 3, 4.5]


def test_answer_has_the_protocols_keys_in_order(server: ServerProcess) -> None:
    document = {"id": "7", "inputs": [tensor("FP32", [1, 1], [0.5])], "unknown": {"key": 1}}
    answer = server.infer_json("identity_fp32", document)
    assert list(answer.json()) == ["id", "model_name", "model_version", "outputs"]
    assert list(answer.json()["outputs"][0]) == ["name", "datatype", "shape", "data"]


def test_answer_has_no_id_when_the_request_had_none(server: ServerProcess) -> None:
    document = {"inputs": [tensor("FP32", [1, 1], [0.5])]}
    assert "id" not in server.infer_json("identity_fp32", document).json()


def test_empty_list_of_outputs_means_all(server: ServerProcess) -> None:
    document = {"inputs": [tensor("FP32", [1, 1], [0.5])], "outputs": []}
    assert len(server.infer_json("identity_fp32", document).json()["outputs"]) == 1


def test_text_keeps_every_character(server: ServerProcess) -> None:
    texts = ["\0x", "", "é 数字 🙂", '"\\\n']
    assert y_of(server, "identity_bytes", tensor("BYTES", [1, 4], texts)) == texts


def test_numbers_that_are_not_finite_travel_as_bare_tokens(server: ServerProcess) -> None:
    values = [math.nan, math.inf, -math.inf]
    body = json.dumps({"inputs": [tensor("FP32", [1, 3], values)]})
    assert "[NaN, Infinity, -Infinity]" in body
    answer = server.request("POST", "/v2/models/identity_fp32/infer", body)
    assert answer.status == 200
    assert b"[NaN,Infinity,-Infinity]" in answer.body


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("UINT64", 2**64 - 1), ("INT64", -(2**63)), ("FP64", 1e308), ("INT8", -128)],
)
def test_extreme_numbers_are_exact(server: ServerProcess, datatype: str, value: float) -> None:
    model = f"identity_{datatype.lower()}"
    assert y_of(server, model, tensor(datatype, [1, 1], [value])) == [value]


BAD_TENSORS: dict[str, dict[str, Any]] = {
    "too few": tensor("FP32", [1, 3], [1, 2]),
    "too many": tensor("FP32", [1, 3], [1, 2, 3, 4]),
    "ragged": tensor("FP32", [1, 2], [[1.5, [-2]]]),
    "other nesting": tensor("FP32", [2, 2], [[1, 2, 3], [4]]),
    "text for a number": tensor("FP32", [1, 1], ["1"]),
    "boolean for a number": tensor("FP32", [1, 1], [True]),
    "null": tensor("FP32", [1, 1], [None]),
    "data no array": tensor("FP32", [1, 1], 1.5),
    "integer wraps": tensor("INT8", [1, 1], [300]),
    "fraction for an integer": tensor("INT32", [1, 1], [1.5]),
    "negative for unsigned": tensor("UINT8", [1, 1], [-1]),
    "number for a boolean": tensor("BOOL", [1, 1], [1]),
    "number for text": tensor("BYTES", [1, 1], [7]),
    "half floats": tensor("FP16", [1, 1], [1.5]),
    "brain floats": tensor("BF16", [1, 1], [1.5]),
    "too big for FP32": tensor("FP32", [1, 1], [1e39]),
    "lone surrogate": tensor("BYTES", [1, 1], ["\ud800"]),
    "negative size": tensor("FP32", [1, -1], [1]),
    "size as text": tensor("FP32", [1, "1"], [1]),
    "size as fraction": tensor("FP32", [1, 1.0], [1]),
    "shape no array": tensor("FP32", 1, [1]),
    "astronomic shape": tensor("FP32", [2**62, 2**62], [1]),
    "unknown datatype": tensor("FLOAT", [1, 1], [1]),
    "data and blob": tensor("FP32", [1, 1], [1], parameters={"binary_data_size": 4}),
    "parameter is an array": tensor("FP32", [1, 1], [1], parameters={"p": [1]}),
    "no name": {"datatype": "FP32", "shape": [1, 1], "data": [1]},
    "no data": {"name": "x", "datatype": "FP32", "shape": [1, 1]},
    "no shape": {"name": "x", "datatype": "FP32", "data": [1]},
    "no datatype": {"name": "x", "shape": [1, 1], "data": [1]},
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_bad_tensor_is_the_clients_fault(server: ServerProcess, case: str) -> None:
    entry = BAD_TENSORS[case]
    model = f"identity_{entry.get('datatype', 'FP32').lower().replace('float', 'fp32')}"
    answer = server.infer_json(model, {"inputs": [entry]})
    assert answer.status == 400
    assert answer.error


GOOD = tensor("FP32", [1, 1], [1])
BAD_BODIES: dict[str, str] = {
    "empty": "",
    "no JSON": "{",
    "no object": "[]",
    "text": '"inputs"',
    "no inputs": "{}",
    "inputs no array": '{"inputs": {}}',
    "input no object": '{"inputs": [1]}',
    "number too big": '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[1e400]}]}',
    "id is a number": json.dumps({"id": 7, "inputs": [GOOD]}),
    "parameter is an object": json.dumps({"parameters": {"p": {}}, "inputs": [GOOD]}),
    "reserved parameter": json.dumps({"parameters": {"triton_x": 1}, "inputs": [GOOD]}),
    "parameters no object": json.dumps({"parameters": 1, "inputs": [GOOD]}),
    "input twice": json.dumps({"inputs": [GOOD, GOOD]}),
    "output twice": json.dumps({"inputs": [GOOD], "outputs": [{"name": "y"}, {"name": "y"}]}),
    "output no object": json.dumps({"inputs": [GOOD], "outputs": ["y"]}),
    "unknown output": json.dumps({"inputs": [GOOD], "outputs": [{"name": "z"}]}),
    "nested without end": "[" * 100_000,
    "nested NaN without end": "[" * 100_000 + "NaN",
    "not UTF-8": '{"id": "\udcff", "inputs": []}',
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_body_is_the_clients_fault(server: ServerProcess, case: str) -> None:
    body = BAD_BODIES[case].encode(errors="surrogateescape")
    answer = server.request("POST", "/v2/models/identity_fp32/infer", body)
    assert answer.status == 400
    assert answer.error


def test_half_float_answer_in_json_is_refused_before_the_model_runs(server: ServerProcess) -> None:
    labels = {"model": "identity_fp16"}
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP16",
                    "shape": [1, 1],
                    "parameters": {"binary_data_size": 2},
                }
            ]
        }
    ).encode()
    before = server.metric("nv_inference_exec_count", **labels)
    answer = server.request(
        "POST",
        "/v2/models/identity_fp16/infer",
        header + b"\0\0",
        {"Inference-Header-Content-Length": str(len(header))},
    )
    assert answer.status == 400
    assert "FP16" in answer.error
    assert server.metric("nv_inference_exec_count", **labels) == before


def test_output_bytes_that_are_no_text_are_refused_in_json(server: ServerProcess) -> None:
    """Strings of ONNX are UTF-8, so such bytes are already refused on their way in."""
    blob = b"\x01\0\0\0\xff"
    entry = {"name": "x", "datatype": "BYTES", "shape": [1, 1]}
    header = json.dumps({"inputs": [entry | {"parameters": {"binary_data_size": 5}}]}).encode()
    answer = server.request(
        "POST",
        "/v2/models/identity_bytes/infer",
        header + blob,
        {"Inference-Header-Content-Length": str(len(header))},
    )
    assert answer.status == 400
    assert "UTF-8" in answer.error
