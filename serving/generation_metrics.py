"""What is measured of text generation, on the registry of ``serving.metrics``.

Called on the event loop alone, where the registry is read too. A run of the engine writes hundreds
of symbols, so the one histogram that counts symbols takes many of one value at once.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import ClassVar, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

RUN_SECONDS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60,
)  # fmt: skip
"""Bucket bounds of runs and of the wait for the first symbol: half a millisecond to a minute."""
SYMBOL_SECONDS = (
    0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1,
)  # fmt: skip
"""Bucket bounds of the time between symbols: 20 microseconds to a second."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Bucket bounds of the rows of one run."""
VERSION = ("model", "version")

RunKind = Literal["prefill", "decode"]


class BulkHistogram(Collector):
    """A histogram that takes a value many times at the price of once."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        """``bounds`` are the buckets' upper ends, ascending, without infinity."""
        self._name = name
        self._text = text
        self._bounds = tuple(bounds)
        self._children: dict[tuple[str, ...], BulkHistogramChild] = {}

    def labels(self, *values: str) -> "BulkHistogramChild":
        """The counts of one model version; they exist from now on, with value 0."""
        return self._children.setdefault(values, BulkHistogramChild(self._bounds))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """As the registry asks when it is read."""
        family = HistogramMetricFamily(self._name, self._text, labels=VERSION)
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for values, child in self._children.items():
            counts = accumulate(child.counts)
            family.add_metric(values, [*zip(names, counts, strict=True)], child.total)
        yield family


class BulkHistogramChild:
    """One row of a ``BulkHistogram``."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Values in each bucket alone; the last is unbounded."""
        self.total = 0.0
        """Sum of all values."""

    def observe(self, value: float, times: int) -> None:
        """Count ``value`` so many times."""
        self.counts[bisect_left(self._bounds, value)] += times
        self.total += value * times


class GenerationFamilies:
    """The metric families of all generators of one server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register on ``registry``; one registry takes one of these."""
        self.first_symbol = Histogram(
            "quartet_generation_first_symbol_seconds",
            "From the decoded request to the first symbol of each of its texts.",
            VERSION,
            buckets=RUN_SECONDS,
            registry=registry,
        )
        self.symbol_interval = BulkHistogram(
            "quartet_generation_symbol_interval_seconds",
            "Between symbols of one text; the time between two pieces is spread over the second.",
            SYMBOL_SECONDS,
        )
        registry.register(self.symbol_interval)
        self.symbols = Counter(
            "quartet_generation_symbols",
            "Symbols of requests: read from prompts, or written and kept.",
            [*VERSION, "kind"],
            registry=registry,
        )
        self.texts = Counter(
            "quartet_generation_texts",
            "Texts that ended, by reason.",
            [*VERSION, "reason"],
            registry=registry,
        )
        self.run_seconds = Histogram(
            "quartet_generation_run_duration_seconds",
            "One run of the engine, its states fetched and stored.",
            [*VERSION, "kind"],
            buckets=RUN_SECONDS,
            registry=registry,
        )
        self.run_rows = Histogram(
            "quartet_generation_run_rows",
            "Texts that shared one run.",
            [*VERSION, "kind"],
            buckets=ROWS,
            registry=registry,
        )
        self.row_steps = Counter(
            "quartet_generation_row_steps",
            "Rows times steps of all runs: what was computed, for whatever use.",
            [*VERSION, "kind"],
            registry=registry,
        )
        self.rows = Gauge(
            "quartet_generation_rows",
            "Texts under way: active ones have a slot, waiting ones do not.",
            [*VERSION, "state"],
            registry=registry,
        )
        self.slots = Gauge(
            "quartet_generation_slots", "Texts that may be active.", VERSION, registry=registry
        )
        self.slot_utilization = Gauge(
            "quartet_generation_slot_utilization",
            "Share of the slots that are in use, 0 to 1.",
            VERSION,
            registry=registry,
        )

    def for_model(self, model: str, version: str) -> "GenerationMetrics":
        """The metrics of one generator; every row exists from now on, with value 0."""
        return GenerationMetrics(self, model, version)


class GenerationMetrics:
    """The metrics of one generator, their labels bound once. Is a ``RunObserver``."""

    REASONS: ClassVar[tuple[str, ...]] = ("stop", "length", "cancelled", "error", "deadline")
    """Why texts end; rows exist from the start."""
    KINDS: ClassVar[tuple[RunKind, ...]] = ("prefill", "decode")

    def __init__(self, families: GenerationFamilies, model: str, version: str) -> None:
        names = (model, version)
        self._first = families.first_symbol.labels(*names)
        self._interval = families.symbol_interval.labels(*names)
        self._read = families.symbols.labels(*names, "read")
        self._written = families.symbols.labels(*names, "written")
        self._texts = {r: families.texts.labels(*names, r) for r in self.REASONS}
        self._runs = {
            kind: (
                families.run_seconds.labels(*names, kind),
                families.run_rows.labels(*names, kind),
                families.row_steps.labels(*names, kind),
            )
            for kind in self.KINDS
        }
        self._active = families.rows.labels(*names, "active")
        self._waiting = families.rows.labels(*names, "waiting")
        self._slots = families.slots.labels(*names)
        self._utilization = families.slot_utilization.labels(*names)

    def watch(
        self, active: Callable[[], int], waiting: Callable[[], int], slots: Callable[[], int]
    ) -> None:
        """Read the gauges from their owner when scraped."""
        self._active.set_function(active)
        self._waiting.set_function(waiting)
        self._slots.set_function(slots)
        self._utilization.set_function(lambda: active() / slots())

    def first_symbol(self, seconds: float) -> None:
        """A text has its first symbol, ``seconds`` after the request came."""
        self._first.observe(seconds)

    def next_symbols(self, count: int, seconds: float) -> None:
        """A text has ``count`` more symbols, ``seconds`` after those before."""
        if count > 0:
            self._interval.observe(seconds / count, count)

    def symbols(self, prompt: int, written: int) -> None:
        """So many symbols were read from a prompt and written for a client."""
        self._read.inc(prompt)
        self._written.inc(written)

    def text_finished(self, reason: str) -> None:
        """A text ended; ``reason`` is one of ``REASONS``."""
        self._texts[reason].inc()

    def run_finished(self, kind: RunKind, rows: int, steps: int, seconds: float) -> None:
        """See ``RunObserver``."""
        duration, size, row_steps = self._runs[kind]
        duration.observe(seconds)
        size.observe(rows)
        row_steps.inc(rows * steps)
