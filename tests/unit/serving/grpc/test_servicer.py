from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from serving.pb.inference import open_inference_grpc_pb2 as pb
from serving.types import Datatype

ONE = np.array([[1.5, -2.0]], np.float32)


def tensor(array: Any, datatype: str, module: Any = triton) -> Any:
    given = module.InferInput("x", list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


def test_stock_client_reads_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("echo")
    server = client.get_server_metadata()
    assert (server.name, server.version) == ("quartet", "1.2")
    assert list(server.extensions) == ["binary_tensor_data"]
    model = client.get_model_metadata("echo", "4")
    assert (model.name, list(model.versions), model.platform) == ("echo", ["4"], "onnxruntime_onnx")
    assert list(model.inputs[0].shape) == [-1, 2]


@pytest.mark.parametrize("model", ["nothing", "loading", ""])
def test_model_ready_is_false_without_an_error_when_the_model_cannot_serve(
    client: Any, model: str
) -> None:
    assert client.is_model_ready(model) is False


def test_ready_is_false_without_an_error_when_draining(client: Any, service: Any) -> None:
    service.is_ready = False
    assert client.is_server_live() is True
    assert client.is_server_ready() is False
    assert client.is_model_ready("echo") is False


@pytest.mark.parametrize("version", ["abc", "-1"])
def test_model_ready_refuses_a_version_that_is_not_an_integer(client: Any, version: str) -> None:
    with pytest.raises(InferenceServerException, match="version must be an integer") as caught:
        client.is_model_ready("echo", version)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize("datatype", [d.wire for d in Datatype])
def test_stock_client_gets_back_every_datatype(client: Any, datatype: str) -> None:
    if datatype == "BYTES":
        values: Any = np.array([[b"a\0b", b"", "é".encode()]], np.object_)
    elif datatype == "BF16":
        values = ONE.astype(ml_dtypes.bfloat16)
    else:
        values = np.array([[0, 1, 1]]).astype(Datatype[datatype].dtype)
    result = client.infer("echo", [tensor(values, datatype)])
    np.testing.assert_array_equal(result.as_numpy("x"), values)


async def test_stock_asyncio_client_gets_computed_values(server: Any) -> None:
    async with triton_aio.InferenceServerClient(server.address) as client:
        result = await client.infer("double", [tensor(ONE, "FP32", triton_aio)], request_id="7")
        assert await client.is_server_ready()
    np.testing.assert_array_equal(result.as_numpy("x"), ONE * 2)
    assert result.get_response().id == "7"


def test_infer_answers_the_outputs_asked_for_in_their_order(client: Any) -> None:
    inputs = []
    for name in ("a", "b", "c"):
        given = triton.InferInput(name, [1, 2], "FP32")
        given.set_data_from_numpy(ONE)
        inputs.append(given)
    outputs = [triton.InferRequestedOutput(name) for name in ("c", "a")]
    result = client.infer("echo", inputs, outputs=outputs, model_version="3", request_id="id")
    response = result.get_response()
    assert [output.name for output in response.outputs] == ["c", "a"]
    assert (response.model_name, response.model_version, response.id) == ("echo", "3", "id")


def test_infer_answers_raw_values_when_the_request_was_typed(infer: Any) -> None:
    request = pb.ModelInferRequest(model_name="echo")
    entry = request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    entry.contents.fp32_contents.extend(ONE[0].tolist())
    answer = infer(request.SerializeToString())
    response = pb.ModelInferResponse.FromString(answer)
    assert list(response.raw_output_contents) == [ONE.tobytes()]
    assert not response.outputs[0].HasField("contents")


def test_infer_passes_on_parameters_and_the_protocol(client: Any, service: Any) -> None:
    client.infer("echo", [tensor(ONE, "FP32")], timeout=1000, parameters={"temperature": 0.5})
    seen = service.infer_requests[0]
    assert seen.parameters == {"temperature": 0.5, "timeout": 1000}
    assert seen.protocol == "grpc"


def test_stock_client_reads_the_configuration(client: Any) -> None:
    config = client.get_model_config("echo").config
    assert (config.name, config.max_batch_size) == ("echo", 8)
    assert config.dynamic_batching.preferred_batch_size == [4]


def test_stock_client_reads_statistics_of_one_and_of_all_models(client: Any) -> None:
    one = client.get_inference_statistics("echo").model_stats
    assert [(s.name, s.inference_count, s.inference_stats.queue.ns) for s in one] == [
        ("echo", 3, 9)
    ]
    assert one[0].batch_stats[0].compute_infer.count == 1
    assert [s.name for s in client.get_inference_statistics().model_stats] == ["echo", "double"]


@pytest.mark.parametrize(
    "look_up", ["get_model_metadata", "get_model_config", "get_inference_statistics"]
)
def test_look_ups_answer_not_found_when_the_model_is_unknown(client: Any, look_up: str) -> None:
    with pytest.raises(InferenceServerException, match="unknown model: 'nothing'") as caught:
        getattr(client, look_up)("nothing")
    assert caught.value.status() == "StatusCode.NOT_FOUND"
