"""What the GPUs do, by NVIDIA's management library (NVML), under Triton's names."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at one moment; None where the GPU cannot tell, as parts of one (MIG) often cannot."""

    uuid: str
    utilization: float | None
    """Share of the time in which a kernel ran, 0 to 1."""
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    power_watts: float | None


class Gpus(Protocol):
    """Reads all GPUs that this process sees."""

    def read(self) -> list[GpuReading]:
        """One reading a GPU; a GPU that has failed is left out."""
        ...


class Nvml:
    """``Gpus`` over the module ``pynvml`` (NVML API reference, device queries)."""

    def __init__(self, nvml: Any) -> None:
        """Takes the module, initialised here. Raises its ``NVMLError`` if there is no driver."""
        nvml.nvmlInit()
        self._nvml = nvml

    def read(self) -> list[GpuReading]:
        """See ``Gpus.read``."""
        nvml, readings = self._nvml, []
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = nvml.nvmlDeviceGetUUID(handle)
            except nvml.NVMLError as error:
                logger.warning("GPU %d cannot be read: %s", index, error)
                continue
            memory = self._ask(lambda h: nvml.nvmlDeviceGetMemoryInfo(h), handle)
            rates = self._ask(lambda h: nvml.nvmlDeviceGetUtilizationRates(h), handle)
            milliwatts = self._ask(lambda h: nvml.nvmlDeviceGetPowerUsage(h), handle)
            readings.append(
                GpuReading(
                    uuid=uuid.decode() if isinstance(uuid, bytes) else uuid,
                    utilization=None if rates is None else rates.gpu / 100,
                    memory_used_bytes=None if memory is None else memory.used,
                    memory_total_bytes=None if memory is None else memory.total,
                    power_watts=None if milliwatts is None else milliwatts / 1000,
                )
            )
        return readings

    def _ask(self, question: Callable[[Any], Any], handle: Any) -> Any | None:
        try:
            return question(handle)
        except self._nvml.NVMLError:  # this GPU, or this part of one, does not tell
            return None


def open_nvml() -> Gpus | None:
    """NVML, or None with a line in the log where it cannot be had."""
    try:
        import pynvml  # only the extra `gpu` installs it
    except ImportError:
        logger.warning("GPUs are not measured: install nvidia-ml-py, or the extra 'gpu'")
        return None
    try:
        return Nvml(pynvml)
    except pynvml.NVMLError as error:
        logger.warning("GPUs are not measured: %s", error)
        return None


class GpuCollector(Collector):
    """``nv_gpu_*``. The families are there without a GPU too, then without a row."""

    def __init__(self, gpus: Gpus | None) -> None:
        """``gpus``: None where there is none to be read."""
        self._gpus = gpus

    def collect(self) -> Iterable[Metric]:
        """As the registry asks when it is read."""
        labels = ["gpu_uuid"]
        families = {
            "utilization": GaugeMetricFamily(
                "nv_gpu_utilization", "Share of the time in which a kernel ran.", labels=labels
            ),
            "memory_used_bytes": GaugeMetricFamily(
                "nv_gpu_memory_used_bytes", "GPU memory in use, of all processes.", labels=labels
            ),
            "memory_total_bytes": GaugeMetricFamily(
                "nv_gpu_memory_total_bytes", "GPU memory.", labels=labels
            ),
            "power_watts": GaugeMetricFamily(
                "nv_gpu_power_usage", "Power that the GPU draws, watts.", labels=labels
            ),
        }
        for reading in self._gpus.read() if self._gpus else []:
            for field, family in families.items():
                value = getattr(reading, field)
                if value is not None:
                    family.add_metric([reading.uuid], value)
        return families.values()
