"""The script of ``helm test``, run against real servers."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.helm_charts import objects, render
from tests.deploy.replicas import started_replicas
from tests.e2e.process import ServerProcess

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repo"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with started_replicas(REPOSITORY, 1, "--models", '["mnist"]') as servers:
        yield servers[0]


def command(values: dict[str, object] | None = None) -> list[str]:
    """What the test pod of the release runs, up to the server's address."""
    container = objects(render(values))["Pod/quartet-test"]["spec"]["containers"][0]
    assert container["command"] == ["python", "-c"]
    script: list[str] = container["args"]
    return [sys.executable, "-c", *script]


def outcome(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
