"""What is measured, on an injected Prometheus registry.

Two families: ``quartet_*`` histograms and counters, and the counters and gauges of Triton's names
(``nv_inference_*``), so that dashboards and scaling rules made for Triton keep working. The latter
are computed when scraped, from plain integers that the request path raises.
"""

import time
from collections.abc import Callable
from typing import ClassVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.busy_meter import BusyMeter
from serving.engine_metrics import EngineFamilies
from serving.generation_metrics import GenerationFamilies
from serving.image_metrics import ImageFamilies
from serving.triton_metrics import BatchTotals, Totals, render_totals
from serving.types import Timings

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
"""Bucket bounds of durations: half a millisecond to a minute."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Bucket bounds of batch sizes."""

FAILURE_REASONS: dict[str, str] = {
    "rejected": "REJECTED",
    "deadline": "REJECTED",
    "cancelled": "CANCELED",
    "error": "BACKEND",
}
"""Outcome -> Triton's label ``reason``; any other failure is OTHER."""


class Metrics:
    """All metrics of one server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register on ``registry``; one registry takes one ``Metrics``."""
        self.registry = registry
        version = ["model", "version"]
        self.requests = Counter(
            "quartet_requests",
            "Requests by model, version, protocol and outcome.",
            [*version, "protocol", "outcome"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "quartet_request_duration_seconds",
            "From the decoded request to its answer.",
            [*version, "protocol"],
            buckets=SECONDS,
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "quartet_queue_duration_seconds",
            "From submission until the request's batch was formed.",
            version,
            buckets=SECONDS,
            registry=registry,
        )
        self.execution_seconds = Histogram(
            "quartet_execution_duration_seconds",
            "One run of the engine.",
            version,
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_rows = Histogram(
            "quartet_batch_size", "Rows of one run.", version, buckets=ROWS, registry=registry
        )
        self.queue_rows = Gauge("quartet_queue_size", "Rows that wait.", version, registry=registry)
        self.queue_limit = Gauge(
            "quartet_queue_limit",
            "Rows that may wait before requests are refused.",
            version,
            registry=registry,
        )
        self.queue_age = Gauge(
            "quartet_queue_age_seconds",
            "How long the request that has waited longest waits now; 0 if none waits.",
            version,
            registry=registry,
        )
        self.sequences = Gauge(
            "quartet_sequences",
            "Sequences of a stateful model: live ones have a state, others wait for a slot.",
            [*version, "state"],
            registry=registry,
        )
        self.model_info = Gauge(
            "quartet_model_info",
            "1 for each ready version, with the execution provider that really runs.",
            [*version, "provider"],
            registry=registry,
        )
        self.model_ready = Gauge(
            "quartet_model_ready",
            "1 for a version that is served; 0 while it loads, and if it failed to.",
            version,
            registry=registry,
        )
        self.model_load_seconds = Gauge(
            "quartet_model_load_seconds",
            "Time that the version took to load, with its checks, whether or not it succeeded.",
            version,
            registry=registry,
        )
        self.memory_limit = Gauge(
            "quartet_memory_limit_bytes",
            "Memory that the container, or the host, lets this process have.",
            registry=registry,
        )
        self.build_info = Gauge(
            "quartet_build_info",
            "1, with the versions that run and the device's provider.",
            ["version", "onnxruntime", "provider"],
            registry=registry,
        )
        self.ready = Gauge("quartet_ready", "1 if the server is ready, else 0.", registry=registry)
        self.sessions = Gauge(
            "quartet_sessions",
            "Kept texts: sessions and sequences of all models.",
            registry=registry,
        )
        self.engine = EngineFamilies(registry)
        """How busy the engine and the event loop are."""
        self.generation = GenerationFamilies(registry)
        """Of text generation."""
        self.images = ImageFamilies(registry)
        """Of generated pictures."""
        self._totals: dict[tuple[str, str], Totals] = {}

    def render(self) -> bytes:
        """Everything in Prometheus' text format, version 0.0.4."""
        return generate_latest(self.registry) + render_totals(self._totals).encode()

    def unrouted(self, protocol: str, outcome: str) -> None:
        """Count a request that no model could be charged with; a client's text is no label."""
        self.requests.labels("", "", protocol, outcome).inc()

    def load_begins(self, model: str, version: str) -> None:
        """The version is wanted; until it is served, it counts as not ready."""
        self.model_ready.labels(model, version).set(0)

    def load_ended(self, model: str, version: str, seconds: float, *, ready: bool) -> None:
        """The version has been tried."""
        self.model_ready.labels(model, version).set(ready)
        self.model_load_seconds.labels(model, version).set(seconds)

    def for_model(self, model: str, version: str, provider: str) -> "ModelMetrics":
        """The metrics of one model version; every row exists from now on, with value 0."""
        totals = self._totals.setdefault((model, version), Totals())
        self.model_info.labels(model, version, provider).set(1)
        return ModelMetrics(self, model, version, totals)


class ModelMetrics:
    """The metrics of one model version, their labels bound once."""

    OUTCOMES: ClassVar[tuple[str, ...]] = ("ok", "error", "invalid", "rejected")
    """Outcomes whose rows exist from the start: an alert on a rate needs a zero to rise from."""
    PROTOCOLS: ClassVar[tuple[str, ...]] = ("http", "grpc")

    def __init__(self, metrics: Metrics, model: str, version: str, totals: Totals) -> None:
        self.totals = totals
        self._names = (model, version)
        self._requests = metrics.requests
        self._queue_rows = metrics.queue_rows.labels(model, version)
        self._queue_limit = metrics.queue_limit.labels(model, version)
        self._queue_age = metrics.queue_age.labels(model, version)
        self._engine = metrics.engine
        self._sequences = metrics.sequences
        self._queue = metrics.queue_seconds.labels(model, version)
        self._execution = metrics.execution_seconds.labels(model, version)
        self._batch = metrics.batch_rows.labels(model, version)
        self._durations = {
            p: metrics.request_seconds.labels(model, version, p) for p in self.PROTOCOLS
        }
        self._counters = {
            (p, o): metrics.requests.labels(model, version, p, o)
            for p in self.PROTOCOLS
            for o in self.OUTCOMES
        }

    def watch_queue(
        self,
        rows: Callable[[], int],
        requests: Callable[[], int],
        age_s: Callable[[], float],
        limit: int,
    ) -> None:
        """Read the queue's gauges from their owner when scraped; ``limit``: rows that may wait."""
        self._queue_rows.set_function(rows)
        self._queue_age.set_function(age_s)
        self._queue_limit.set(limit)
        self.totals.pending = requests

    def watch_runs(self, instances: int) -> BusyMeter:
        """A meter for the runs of this version, of which ``instances`` go on at once."""
        meter = BusyMeter(instances)
        self._engine.watch_model(*self._names, meter)
        return meter

    def watch_sequences(self, live: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Read the gauges of a stateful model's sequences from their owner when scraped."""
        self._sequences.labels(*self._names, "live").set_function(live)
        self._sequences.labels(*self._names, "waiting").set_function(waiting)

    def request_finished(
        self, protocol: str, outcome: str, duration_s: float, timings: Timings | None
    ) -> None:
        """Count one request; ``timings`` where it ran in batches."""
        counter = self._counters.get((protocol, outcome))
        if counter is None:
            counter = self._requests.labels(*self._names, protocol, outcome)
            self._counters[protocol, outcome] = counter
        counter.inc()
        self._durations[protocol].observe(duration_s)
        if outcome != "ok":
            self.totals.failed_s += duration_s
            self.totals.failure[FAILURE_REASONS.get(outcome, "OTHER")] += 1
            return
        self.totals.success += 1
        self.totals.request_s += duration_s
        if timings is not None:
            self.totals.queue_s += timings.queue_s
            self.totals.compute_input_s += timings.compute_input_s
            self.totals.compute_infer_s += timings.compute_infer_s
            self.totals.compute_output_s += timings.compute_output_s
            self._queue.observe(timings.queue_s)

    def batch_finished(self, timings: Timings, *, failed: bool) -> None:
        """Count one run of the engine."""
        self.totals.executions += 1
        self.totals.last_inference_ms = time.time_ns() // 1_000_000
        if not failed:
            self.totals.rows += timings.batch_rows
            size = self.totals.batches.setdefault(timings.batch_rows, BatchTotals())
            size.executions += 1
            size.compute_input_s += timings.compute_input_s
            size.compute_infer_s += timings.compute_infer_s
            size.compute_output_s += timings.compute_output_s
        self._execution.observe(timings.compute_infer_s)
        self._batch.observe(timings.batch_rows)
