"""``perf_analyzer``, the load generator that users of the protocol have, runs to its end.

Its binary is in the wheel ``tritonclient==2.41.1`` (unpack it; later wheels have none) and needs
Debian's ``libb64-0d`` and ``libcudart.so.12`` of PyPI's ``nvidia-cuda-runtime-cu12``, which
``LD_LIBRARY_PATH`` must lead to. Name it in ``QUARTET_PERF_ANALYZER`` to run this test.
"""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e
UNSTABLE_IS_FINE = ("-s", "999")


@pytest.fixture(scope="module")
def perf_analyzer() -> str:
    """The binary, known to start."""
    found = os.environ.get("QUARTET_PERF_ANALYZER") or shutil.which("perf_analyzer")
    if found is None:
        pytest.skip("no perf_analyzer; set QUARTET_PERF_ANALYZER, see this file's head")
    started = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    if "error while loading shared libraries" in started.stderr:
        pytest.skip(f"perf_analyzer cannot start: {started.stderr.strip()}")
    return found


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("model", ["configured", "sum_and_difference"])
def test_perf_analyzer_completes(
    server: ServerProcess, perf_analyzer: str, tmp_path: Path, protocol: str, model: str
) -> None:
    measure(perf_analyzer, server, model, protocol, tmp_path)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_perf_analyzer_completes_on_the_shipped_model(
    mnist_server: ServerProcess, perf_analyzer: str, tmp_path: Path, protocol: str
) -> None:
    measure(perf_analyzer, mnist_server, "mnist", protocol, tmp_path)


def measure(
    perf_analyzer: str, server: ServerProcess, model: str, protocol: str, folder: Path
) -> None:
    """Two clients with two rows a request for a short while; the report must be whole."""
    address = server.http_address if protocol == "http" else server.grpc_address
    report = folder / "report.csv"
    load = ["-b", "2", "--concurrency-range", "2", "-p", "400", "-r", "3", *UNSTABLE_IS_FINE]
    done = subprocess.run(
        [perf_analyzer, "-m", model, "-u", address, "-i", protocol, *load, "-f", str(report)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = csv.DictReader(report.read_text().splitlines())
    assert float(row["Inferences/Second"]) > 10
    assert "Inference count" in done.stdout
