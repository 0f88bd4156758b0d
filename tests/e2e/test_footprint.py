"""What the server takes from its machine."""

import os
from pathlib import Path

import pytest

from tests.e2e.fixtures import MODEL_REPOSITORY, StartServer
from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e
MIB = 1024 * 1024


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_resident_memory_is_small(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "mnist").symlink_to(MODEL_REPOSITORY / "mnist")
    assert resident_bytes(start_server(tmp_path).wait_ready()) < 300 * MIB


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_resident_memory_with_all_shipped_models_is_bounded(mnist_server: ServerProcess) -> None:
    """Each generator has two graphs or three, in two precisions, with weights of their own."""
    assert resident_bytes(mnist_server) < 950 * MIB


def resident_bytes(server: ServerProcess) -> int:
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_server_never_loads_torch(mnist_server: ServerProcess) -> None:
    libraries = Path(f"/proc/{mnist_server.pid}/maps").read_text()
    assert "onnxruntime" in libraries
    assert "torch" not in libraries
