"""The shipped model on the whole test split: pictures score as tensors do, and as recorded."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image

from serving.pb.quartet.v1 import quartet_pb2, quartet_pb2_grpc
from tests.e2e.fixtures import MODEL_REPOSITORY
from tests.e2e.process import ServerProcess
from tests.patience import TIMEOUT_S
from training.data.idx import read_idx

pytestmark = [pytest.mark.e2e, pytest.mark.data]
BATCH = 64
CLIENTS = 2
OTHER_CPUS = 5e-4
"""int8 kernels round differently on different CPUs: a few pictures of 10,000 may tip over."""


@pytest.fixture(scope="module")
def images(data_dir: Path) -> npt.NDArray[np.uint8]:
    """The test split, [10000, 28, 28]."""
    return read_idx(data_dir / "mnist" / "t10k-images-idx3-ubyte.gz").values.astype(np.uint8)


@pytest.fixture(scope="module")
def labels(data_dir: Path) -> npt.NDArray[np.uint8]:
    """Their digits, [10000]."""
    return read_idx(data_dir / "mnist" / "t10k-labels-idx1-ubyte.gz").values.astype(np.uint8)


@pytest.fixture(scope="module")
def tensor_predictions(
    mnist_server: ServerProcess, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int64]:
    """What the default version says to the tensors, over HTTP in binary."""
    return predict_tensors(tritonclient.http, mnist_server.http_address, images)


def predict_tensors(
    module: Any, address: str, images: npt.NDArray[np.uint8], version: str = ""
) -> npt.NDArray[np.int64]:
    found = []
    with module.InferenceServerClient(address) as client:
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            tensor = module.InferInput("image", list(part.shape), "UINT8")
            tensor.set_data_from_numpy(part)
            answer = client.infer("mnist", [tensor], model_version=version)
            found.append(answer.as_numpy("probabilities").argmax(axis=1))
    return np.concatenate(found)


def png(image: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def recorded_accuracy(version: str) -> float:
    run = json.loads((MODEL_REPOSITORY / "mnist" / version / "run.json").read_text())
    return float(run["metrics"]["test"]["accuracy"])


@pytest.mark.parametrize("version", ["1", "2"])
def test_served_accuracy_is_the_recorded_one(
    mnist_server: ServerProcess,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    version: str,
) -> None:
    if not (MODEL_REPOSITORY / "mnist" / version).is_dir():
        pytest.skip(f"no version {version}")
    address = mnist_server.grpc_address
    found = predict_tensors(tritonclient.grpc, address, images, version)
    assert np.mean(found == labels) == pytest.approx(recorded_accuracy(version), abs=OTHER_CPUS)


def test_pictures_score_as_tensors(
    mnist_server: ServerProcess,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    tensor_predictions: npt.NDArray[np.int64],
) -> None:
    """All 10,000 as PNG files in forms of 64, like a browser would send them."""
    parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    url = f"http://{mnist_server.http_address}/v1/classify/mnist"

    def classify(client: httpx.Client, part: npt.NDArray[np.uint8]) -> list[int]:
        files = [("image", ("digit.png", png(image), "image/png")) for image in part]
        answer = client.post(url, params={"top_k": 1}, files=files)
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        return [result["predictions"][0]["index"] for result in results]

    with httpx.Client(timeout=TIMEOUT_S) as client, ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda part: classify(client, part), parts))
    found = np.concatenate([np.array(answer) for answer in answers])
    assert len(found) == len(labels)
    assert np.mean(found == labels) == np.mean(tensor_predictions == labels)


def test_typed_calls_say_what_tensors_say(
    mnist_server: ServerProcess,
    images: npt.NDArray[np.uint8],
    tensor_predictions: npt.NDArray[np.int64],
) -> None:
    pictures = [quartet_pb2.Image(data=png(image)) for image in images[:BATCH]]
    request = quartet_pb2.ClassifyRequest(model_name="mnist", images=pictures, top_k=1)
    with grpc.insecure_channel(mnist_server.grpc_address) as channel:
        stub = quartet_pb2_grpc.QuartetStub(channel)  # type: ignore[no-untyped-call]  # generated
        answer = stub.Classify(request, timeout=TIMEOUT_S)
    found = [result.predictions[0].index for result in answer.results]
    assert found == tensor_predictions[:BATCH].tolist()
