"""The server as KServe's resources start it, called by KServe's own clients."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.deploy.kserve_pods import Client, Pod, pod
from tests.deploy.kserve_resources import KSERVE, merge_container, runtime_of
from tests.deploy.schemas import kustomize
from tests.e2e.fixtures import MODEL_REPOSITORY
from tests.e2e.process import wait_until

DIGITS = MODEL_REPOSITORY / "mnist"
GOLDEN = DIGITS / "2" / "golden.npz"
READY = {"rest": [True, True, True], "grpc": [True, True, True]}


def container_of(service_name: str) -> dict[str, Any]:
    runtimes, documents = kustomize(KSERVE / "runtimes"), kustomize(KSERVE / "examples")
    (service,) = (
        d
        for d in documents
        if d["kind"] == "InferenceService" and d["metadata"]["name"] == service_name
    )
    return merge_container(runtime_of(service, runtimes), service)


@pytest.fixture(scope="module", autouse=True)
def shipped_models() -> None:
    if not DIGITS.is_dir():
        pytest.skip(f"no model at {DIGITS}")


@pytest.fixture(scope="module")
def digits() -> Iterator[Pod]:
    """One model, uploaded from its versions on."""
    with pod(container_of("digits"), "digits", DIGITS) as started:
        started.process.wait_log("server is ready")
        yield started


@pytest.fixture(scope="module")
def client(digits: Pod) -> Iterator[Client]:
    with digits.client(GOLDEN) as started:
        yield started


def assert_answers_as_golden(answers: dict[str, Any], model: str) -> None:
    """Each way gives the same bytes, which are what the training recorded."""
    assert {a["model"] for a in answers.values()} == {model}
    assert len({a["output"] for a in answers.values()}) == 1
    output = np.frombuffer(bytes.fromhex(answers["grpc"]["output"]), "<f4").reshape(-1, 10)
    with np.load(GOLDEN) as golden:
        # The tolerance that the golden file itself declares.
        np.testing.assert_allclose(
            output,
            golden["output:probabilities"][: len(output)],
            rtol=golden["rtol"],
            atol=golden["atol"],
        )


def test_clients_find_server_and_model_ready(client: Client) -> None:
    assert client.ask("health") == READY


def test_clients_get_the_same_bytes_by_each_way(client: Client) -> None:
    assert_answers_as_golden(client.ask("infer"), "digits")


def test_model_is_described_under_the_name_of_the_service(client: Client) -> None:
    metadata = client.ask("metadata")
    assert (metadata["name"], metadata["versions"]) == ("digits", ["1", "2"])
    assert [t["name"] for t in metadata["inputs"]] == ["image"]


def test_drain_lets_proxies_notice_and_ends_within_the_pods_time() -> None:
    """Not ready at once, answering meanwhile, gone with status 0; over both protocols."""
    with (
        pod(container_of("digits-grpc"), "digits-grpc", DIGITS) as started,
        started.client(GOLDEN) as client,
    ):
        started.process.wait_log("server is ready")
        assert client.ask("ready") == {"rest": True, "grpc": True}
        started.process.signal()
        started.process.wait_log("draining")
        assert client.ask("ready") == {"rest": 503, "grpc": False}
        assert_answers_as_golden(client.ask("infer"), "digits-grpc")
        assert started.process.wait_exit() == 0
        assert not any("in flight" in line["message"] for line in started.process.lines)


def test_repository_of_one_model_answers_under_both_names(tmp_path: Path) -> None:
    """As ``quartet export --repository`` leaves it: the model's folder below the uploaded one."""
    (tmp_path / "mnist").symlink_to(DIGITS)
    with (
        pod(container_of("digits"), "digits", tmp_path) as started,
        started.client(GOLDEN) as client,
    ):
        started.process.wait_log("server is ready")
        assert client.ask("health") == READY
        assert_answers_as_golden(client.ask("infer"), "mnist")


def test_readiness_waits_for_the_model_that_the_service_is_called_by(tmp_path: Path) -> None:
    """Of several, the others may fail; the reason is the end of the log."""
    (tmp_path / "mnist").symlink_to(DIGITS)
    (tmp_path / "digits" / "1").mkdir(parents=True)
    (tmp_path / "digits" / "1" / "model.onnx").write_bytes(b"no graph")
    with pod(container_of("digits"), "digits", tmp_path) as started:
        line = started.process.wait_log("server is not ready")
        assert line["message"] == "server is not ready: required models are not ready: ['digits']"


def test_container_ends_with_the_reason_when_nothing_was_uploaded(tmp_path: Path) -> None:
    with pod(container_of("digits"), "digits", tmp_path) as started:
        wait_until(lambda: not started.process.running, "the end")
        assert started.process.wait_exit() == 1
        assert "found nothing; expected model.onnx" in started.process.lines[-1]["message"]
