"""Fixtures of the tests that run the real server."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY_ROOT
from tests.e2e.graphs import write_repository
from tests.e2e.process import ServerProcess, slow_document

StartServer = Callable[..., ServerProcess]
"""Takes a repository and flags; the process is ended with the test."""
MODEL_REPOSITORY = REPOSITORY_ROOT / "model_repo"
CALIBRATION_STEPS = 1000.0
CALIBRATION_RUNS = 8


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of ``graphs``."""
    return write_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[ServerProcess]:
    """A ready server that all tests of a session share; whoever breaks it breaks the next."""
    process = ServerProcess(repository)
    try:
        yield process.wait_ready()
    finally:
        process.close()


@pytest.fixture(scope="session")
def mnist_server() -> Iterator[ServerProcess]:
    """A server of the repository that is shipped."""
    if not (MODEL_REPOSITORY / "mnist").is_dir():
        pytest.skip(f"no model at {MODEL_REPOSITORY / 'mnist'}")
    process = ServerProcess(MODEL_REPOSITORY)
    try:
        yield process.wait_ready()
    finally:
        process.close()


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Starts private servers."""
    started: list[ServerProcess] = []

    def start(repository: Path, *flags: str) -> ServerProcess:
        started.append(ServerProcess(repository, *flags))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture(scope="session")
def slow_steps(server: ServerProcess) -> Callable[[float], float]:
    """Seconds -> the input with which the model ``slow`` takes about as long here."""
    document = slow_document(CALIBRATION_STEPS)

    def run_s() -> float:
        started = time.perf_counter()
        assert server.infer_json("slow", document).status == 200
        return time.perf_counter() - started

    # The fastest of several: on a machine that is busy now and idle later, runs last longer than
    # asked rather than shorter.
    steps_per_s = CALIBRATION_STEPS / min(run_s() for _ in range(CALIBRATION_RUNS))
    return lambda seconds: float(round(seconds * steps_per_s))
