"""Models by volume and by object store: the arguments of the manifests, against a real store."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.kustomizations import combined, one
from tests.deploy.object_store import ObjectStore, started_object_store
from tests.deploy.server_environment import container_of, environment_of
from tests.deploy.tools import require
from tests.e2e.graphs import identity, write_model
from tests.e2e.process import ServerProcess
from tests.patience import TIMEOUT_S

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with started_object_store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def manifests(tmp_path: Path) -> list[dict[str, Any]]:
    folder = tmp_path / "overlay"
    folder.mkdir()
    return combined(folder, "cpu", ["models-object-store"])


def copying(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The container that copies."""
    pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
    found: dict[str, Any] = pod["initContainers"][0]
    return found


def run_container(
    manifests: list[dict[str, Any]], store: ObjectStore, out: Path, **changed: str
) -> subprocess.CompletedProcess[str]:
    """The copying container's arguments and settings, with another store and target folder."""
    container = copying(manifests)
    values = dict(one(manifests, "ConfigMap", "quartet-models")["data"])
    values |= CREDENTIALS
    values |= {"RCLONE_CONFIG_STORE_ENDPOINT": store.endpoint}
    values |= {"RCLONE_CONFIG_STORE_PROVIDER": "Other", **changed}
    arguments = [expand(argument, values) for argument in container["args"]]
    assert arguments[-1] == container["volumeMounts"][0]["mountPath"]
    arguments[-1] = str(out)
    return subprocess.run(
        [require("rclone"), *arguments],
        env={"PATH": os.environ["PATH"], **values},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def expand(argument: str, values: dict[str, str]) -> str:
    """``$(NAME)`` as the kubelet expands it."""
    return re.sub(r"\$\(([A-Z_]+)\)", lambda found: values[found[1]], argument)


def test_models_of_a_store_are_served(
    manifests: list[dict[str, Any]], store: ObjectStore, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    write_model(source, "one", identity("FP32"))
    store.put("models")
    store.put_folder("models/2025-01-01", source)
    out = tmp_path / "models"
    done = run_container(manifests, store, out)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(source)
    server = ServerProcess(out)
    try:
        server.wait_ready()
        assert server.request("GET", "/v2/models/one/ready").status == 200
    finally:
        server.close()


def test_the_copy_can_be_repeated(
    manifests: list[dict[str, Any]], store: ObjectStore, tmp_path: Path
) -> None:
    store.put("again")
    store.put("again/state/a.txt", b"first")
    for _ in range(2):
        done = run_container(manifests, store, tmp_path / "out", MODELS_PATH="again/state")
        assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == {"a.txt": b"first"}


def test_a_bucket_that_is_missing_is_an_error(
    manifests: list[dict[str, Any]], store: ObjectStore, tmp_path: Path
) -> None:
    arguments = copying(manifests)["args"]
    # As often, without the wait between.
    arguments[arguments.index("--retries-sleep=5s")] = "--retries-sleep=0s"
    done = run_container(manifests, store, tmp_path / "out", MODELS_PATH="none/state")
    assert done.returncode != 0
    assert "directory not found" in done.stderr


def test_a_prefix_without_objects_is_an_error(
    manifests: list[dict[str, Any]], store: ObjectStore, tmp_path: Path
) -> None:
    store.put("empty")
    done = run_container(manifests, store, tmp_path / "out", MODELS_PATH="empty/state")
    assert done.returncode != 0, done.stderr
    assert "nothing to transfer" in done.stderr


def test_the_copy_lands_where_the_server_looks(manifests: list[dict[str, Any]]) -> None:
    target = copying(manifests)["args"][-1]
    assert target == environment_of(manifests)["QUARTET_MODEL_REPOSITORY"]
    mounts = {m["name"]: m for m in container_of(manifests)["volumeMounts"]}
    assert mounts["models"]["mountPath"] == target
    assert mounts["models"]["readOnly"] is True


def test_the_store_can_be_reached_and_nothing_else(manifests: list[dict[str, Any]]) -> None:
    policies = [d["spec"] for d in manifests if d["kind"] == "NetworkPolicy"]
    ports = {
        port["port"]
        for policy in policies
        for rule in policy.get("egress", [])
        for port in rule["ports"]
    }
    assert ports == {53, 443}


def test_a_volume_is_mounted_where_the_server_looks(tmp_path: Path) -> None:
    manifests = combined(tmp_path, "cpu", ["models-pvc"])
    mounts = {m["name"]: m for m in container_of(manifests)["volumeMounts"]}
    assert mounts["models"] == {
        "name": "models",
        "mountPath": environment_of(manifests)["QUARTET_MODEL_REPOSITORY"],
        "readOnly": True,
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
