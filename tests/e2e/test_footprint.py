"""What the server takes from its machine."""

import os
from pathlib import Path

import pytest

from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.e2e
MIB = 1024 * 1024


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_resident_memory_with_the_shipped_model_is_small(mnist_server: ServerProcess) -> None:
    pages = int(Path(f"/proc/{mnist_server.pid}/statm").read_text().split()[1])
    assert pages * os.sysconf("SC_PAGE_SIZE") < 300 * MIB


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_server_never_loads_torch(mnist_server: ServerProcess) -> None:
    libraries = Path(f"/proc/{mnist_server.pid}/maps").read_text()
    assert "onnxruntime" in libraries
    assert "torch" not in libraries
