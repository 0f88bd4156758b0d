"""How busy the engine and the event loop are, read when scraped."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serving.busy_meter import BusyMeter, LoopMeter


class EngineFamilies(Collector):
    """The meters of one server as metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._engine: BusyMeter | None = None
        self._loop: LoopMeter | None = None
        self._models: dict[tuple[str, str], BusyMeter] = {}
        registry.register(self)

    def watch_engine(self, meter: BusyMeter) -> None:
        """Of all engine threads."""
        self._engine = meter

    def watch_loop(self, meter: LoopMeter) -> None:
        """Of the event loop on which the metrics are read."""
        self._loop = meter

    def watch_model(self, model: str, version: str, meter: BusyMeter) -> None:
        """Of the runs of one model version."""
        self._models[model, version] = meter

    def utilization(self) -> float:
        """How full the fullest part of the engine is, 0 to 1: its threads, or one model's runs."""
        meters = [*self._models.values(), *([self._engine] if self._engine else [])]
        return max((meter.utilization() for meter in meters), default=0.0)

    def collect(self) -> Iterable[Metric]:
        """As the registry asks when it is read."""
        yield GaugeMetricFamily(
            "quartet_utilization",
            "Busy fraction of the engine over the last 15 s: of its threads, or of the runs of one "
            "model if that is more. At 1, more load only waits.",
            value=self.utilization(),
        )
        yield GaugeMetricFamily(
            "quartet_loop_utilization",
            "CPU fraction of the event loop's thread over the last 15 s.",
            value=self._loop.utilization() if self._loop else 0.0,
        )
        yield CounterMetricFamily(
            "quartet_loop_cpu_seconds",
            "CPU time of the event loop's thread.",
            value=self._loop.cpu_seconds() if self._loop else 0.0,
        )
        yield CounterMetricFamily(
            "quartet_engine_busy_seconds",
            "Time that engine threads spent in runs, summed over the threads.",
            value=self._engine.busy_seconds() if self._engine else 0.0,
        )
        yield GaugeMetricFamily(
            "quartet_engine_threads",
            "Engine threads.",
            value=self._engine.capacity if self._engine else 0,
        )
        models = GaugeMetricFamily(
            "quartet_model_utilization",
            "Runs of a model over those it may have at once, a mean over the last 15 s.",
            labels=["model", "version"],
        )
        # A copy: threads that load models add theirs meanwhile.
        for names, meter in list(self._models.items()):
            models.add_metric(names, meter.utilization())
        yield models
