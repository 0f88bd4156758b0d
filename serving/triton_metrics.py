"""Counters and gauges under Triton's names, for dashboards and scaling rules made for Triton.

Rendered here rather than by prometheus_client, which appends ``_total`` to every counter's name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class BatchTotals:
    """Runs of one batch size."""

    executions: int = 0
    compute_input_s: float = 0.0
    compute_infer_s: float = 0.0
    compute_output_s: float = 0.0


@dataclass(slots=True)
class Totals:
    """Cumulative counts of one model version, raised by the request path."""

    success: int = 0
    """Requests answered."""
    failure: dict[str, int] = field(
        default_factory=lambda: {"REJECTED": 0, "CANCELED": 0, "BACKEND": 0, "OTHER": 0}
    )
    """Requests failed, by Triton's label ``reason``."""
    rows: int = 0
    """Batch rows inferred."""
    executions: int = 0
    """Runs of the engine."""
    request_s: float = 0.0
    """End to end, answered requests."""
    failed_s: float = 0.0
    """End to end, failed requests."""
    queue_s: float = 0.0
    """The durations from here on count answered requests only."""
    compute_input_s: float = 0.0
    compute_infer_s: float = 0.0
    compute_output_s: float = 0.0
    batches: dict[int, BatchTotals] = field(default_factory=dict)
    """Rows of a run -> runs of that size."""
    last_inference_ms: int = 0
    """Milliseconds since the epoch; 0 before the first."""
    pending: Callable[[], int] = int
    """Reads how many requests wait, from the queue that owns them."""


_FAMILIES: tuple[tuple[str, str, str, Callable[[Totals], float]], ...] = (
    ("nv_inference_request_success", "counter", "Requests answered", lambda t: t.success),
    ("nv_inference_count", "counter", "Rows inferred", lambda t: t.rows),
    ("nv_inference_exec_count", "counter", "Runs of the engine", lambda t: t.executions),
    (
        "nv_inference_request_duration_us",
        "counter",
        "Microseconds end to end",
        lambda t: (t.request_s + t.failed_s) * 1e6,
    ),
    (
        "nv_inference_queue_duration_us",
        "counter",
        "Microseconds in the queue",
        lambda t: t.queue_s * 1e6,
    ),
    (
        "nv_inference_compute_input_duration_us",
        "counter",
        "Microseconds of joining inputs",
        lambda t: t.compute_input_s * 1e6,
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "counter",
        "Microseconds in the engine",
        lambda t: t.compute_infer_s * 1e6,
    ),
    (
        "nv_inference_compute_output_duration_us",
        "counter",
        "Microseconds of splitting outputs",
        lambda t: t.compute_output_s * 1e6,
    ),
    (
        "nv_inference_pending_request_count",
        "gauge",
        "Requests waiting",
        lambda t: t.pending(),
    ),
)


def render_totals(totals: Mapping[tuple[str, str], Totals]) -> str:
    """Prometheus text of ``totals``, whose keys are (model, version)."""
    rows = [(_labels(*key), value) for key, value in sorted(totals.items())]
    lines: list[str] = []
    for name, kind, text, read in _FAMILIES:
        lines += _header(name, kind, text)
        lines += [f"{name}{{{labels}}} {_number(read(value))}" for labels, value in rows]
    name = "nv_inference_request_failure"
    lines += _header(name, "counter", "Requests failed")
    for labels, value in rows:
        lines += [f'{name}{{{labels},reason="{r}"}} {n}' for r, n in value.failure.items()]
    return "\n".join(lines) + "\n"


def _header(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(model: str, version: str) -> str:
    escaped = model.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'model="{escaped}",version="{version}"'


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else str(round(value))
