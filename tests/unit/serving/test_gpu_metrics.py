"""NVML itself needs a driver; here its Python module is imitated call by call."""

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from serving.gpu_metrics import GpuCollector, Nvml, open_nvml


class NvmlError(Exception):
    pass


class FakeNvml:
    NVMLError = NvmlError

    def __init__(self, *, gpus: int = 1, driver: bool = True, mig: bool = False) -> None:
        self._gpus = gpus
        self._driver = driver
        self._mig = mig
        self.broken: set[int] = set()

    def nvmlInit(self) -> None:
        if not self._driver:
            raise NvmlError("driver not loaded")

    def nvmlDeviceGetCount(self) -> int:
        return self._gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index in self.broken:
            raise NvmlError("GPU is lost")
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=3 << 30, total=8 << 30)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        if self._mig:
            raise NvmlError("not supported")
        return SimpleNamespace(gpu=40, memory=10)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 215_000


def collected(nvml: FakeNvml) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(GpuCollector(Nvml(nvml)))
    return registry


def test_every_gpu_has_its_row() -> None:
    registry = collected(FakeNvml(gpus=2))
    for gpu in ("GPU-0", "GPU-1"):
        labels = {"gpu_uuid": gpu}
        assert registry.get_sample_value("nv_gpu_utilization", labels) == 0.4
        assert registry.get_sample_value("nv_gpu_memory_used_bytes", labels) == 3 << 30
        assert registry.get_sample_value("nv_gpu_memory_total_bytes", labels) == 8 << 30
        assert registry.get_sample_value("nv_gpu_power_usage", labels) == 215.0


def test_a_gpu_that_does_not_tell_all_has_what_it_tells() -> None:
    registry = collected(FakeNvml(mig=True))
    labels = {"gpu_uuid": "GPU-0"}
    assert registry.get_sample_value("nv_gpu_utilization", labels) is None
    assert registry.get_sample_value("nv_gpu_memory_used_bytes", labels) == 3 << 30


def test_a_lost_gpu_takes_no_other_along() -> None:
    nvml = FakeNvml(gpus=2)
    registry = collected(nvml)
    nvml.broken.add(0)
    assert registry.get_sample_value("nv_gpu_utilization", {"gpu_uuid": "GPU-0"}) is None
    assert registry.get_sample_value("nv_gpu_utilization", {"gpu_uuid": "GPU-1"}) == 0.4


def test_without_a_gpu_the_families_have_no_row() -> None:
    registry = CollectorRegistry()
    registry.register(GpuCollector(None))
    families = {family.name: family.samples for family in registry.collect()}
    assert families == {
        "nv_gpu_utilization": [],
        "nv_gpu_memory_used_bytes": [],
        "nv_gpu_memory_total_bytes": [],
        "nv_gpu_power_usage": [],
    }


def test_without_a_driver_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", FakeNvml(driver=False))
    assert open_nvml() is None
    assert "GPUs are not measured: driver not loaded" in caplog.text


def test_without_the_package_the_log_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert open_nvml() is None
    assert "install nvidia-ml-py" in caplog.text
