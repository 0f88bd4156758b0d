"""A model that somebody else's tool wrote is dropped into a repository and answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.http
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def features() -> npt.NDArray[np.float32]:
    """Two clouds of 4 features."""
    noise = np.random.default_rng(0)
    return np.concatenate([noise.normal(-1, 1, (40, 4)), noise.normal(1, 1, (40, 4))]).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def estimators(features: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Fitted classifiers, one of numbers and one of names."""
    numbers = np.repeat([0, 1], 40)
    names = np.repeat(["cat", "dog"], 40)
    return {
        "forest": RandomForestClassifier(5, random_state=0, n_jobs=1).fit(features, numbers),
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression()).fit(features, names),
    }


@pytest.fixture(scope="module")
def foreign(
    tmp_path_factory: pytest.TempPathFactory,
    estimators: dict[str, Any],
    features: npt.NDArray[np.float32],
) -> Iterator[ServerProcess]:
    """A server of what skl2onnx writes by default, and without the map that it adds."""
    folder = tmp_path_factory.mktemp("foreign")
    for name, estimator in estimators.items():
        save(folder, name, to_onnx(estimator, features[:1], options={"zipmap": False}))
        save(folder, f"{name}_by_default", to_onnx(estimator, features[:1]))
    process = ServerProcess(folder)
    try:
        yield process.wait_ready()
    finally:
        process.close()


@pytest.mark.parametrize("name", ["forest", "pipeline"])
@pytest.mark.parametrize("module", [tritonclient.http, tritonclient.grpc])
def test_foreign_model_answers_as_its_framework(
    foreign: ServerProcess,
    estimators: dict[str, Any],
    features: npt.NDArray[np.float32],
    name: str,
    module: Any,
) -> None:
    address = foreign.grpc_address if module is tritonclient.grpc else foreign.http_address
    tensor = module.InferInput("X", list(features.shape), "FP32")
    with module.InferenceServerClient(address) as client:
        metadata = client.get_model_metadata(name, **as_json(module))
        # 80 rows in two parts: the server's default batch holds 64.
        halves = []
        for part in (features[:40], features[40:]):
            tensor = module.InferInput("X", list(part.shape), "FP32")
            tensor.set_data_from_numpy(np.ascontiguousarray(part))
            halves.append(client.infer(name, [tensor]))
    outputs = [output["name"] for output in metadata["outputs"]]
    labels = np.concatenate([half.as_numpy(outputs[0]) for half in halves])
    probabilities = np.concatenate([half.as_numpy(outputs[1]) for half in halves])
    estimator = estimators[name]
    expected = estimator.predict(features)
    if expected.dtype.kind == "U":
        labels = np.array([label.decode() for label in labels])
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_allclose(probabilities, estimator.predict_proba(features), atol=1e-5)


@pytest.mark.parametrize("name", ["forest_by_default", "pipeline_by_default"])
def test_output_that_cannot_travel_is_left_out_and_the_rest_answers(
    foreign: ServerProcess,
    estimators: dict[str, Any],
    features: npt.NDArray[np.float32],
    name: str,
) -> None:
    """By default skl2onnx gives probabilities as a sequence of maps, which is no tensor."""
    metadata = foreign.request("GET", f"/v2/models/{name}").json()
    assert len(metadata["outputs"]) == 1
    entry = {
        "name": "X",
        "shape": [3, 4],
        "datatype": "FP32",
        "data": features[:3].ravel().tolist(),
    }
    answer = foreign.infer_json(name, {"inputs": [entry]})
    assert answer.status == 200, answer.body
    expected = estimators[name.removesuffix("_by_default")].predict(features[:3]).tolist()
    assert answer.json()["outputs"][0]["data"] == expected


def as_json(module: Any) -> dict[str, bool]:
    return {"as_json": True} if module is tritonclient.grpc else {}


def save(folder: Path, name: str, model: Any) -> None:
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "1" / "model.onnx").write_bytes(model.SerializeToString())
