"""Counts of a model version in the form of the protocol's statistics extension, as plain data."""

from collections.abc import Mapping
from typing import Any

from serving.triton_metrics import BatchTotals, Totals


def model_statistics(name: str, version: str, totals: Totals) -> dict[str, Any]:
    """One element of ``model_stats``, its keys those of the message ``ModelStatistics``.

    Durations are cumulative nanoseconds; ``inference_count`` counts rows, ``execution_count`` runs.
    """
    answered = totals.success
    return {
        "name": name,
        "version": version,
        "last_inference": totals.last_inference_ms,
        "inference_count": totals.rows,
        "execution_count": totals.executions,
        "inference_stats": {
            "success": _duration(answered, totals.request_s),
            "fail": _duration(sum(totals.failure.values()), totals.failed_s),
            "queue": _duration(answered, totals.queue_s),
            "compute_input": _duration(answered, totals.compute_input_s),
            "compute_infer": _duration(answered, totals.compute_infer_s),
            "compute_output": _duration(answered, totals.compute_output_s),
            "cache_hit": _duration(0, 0.0),
            "cache_miss": _duration(0, 0.0),
        },
        "response_stats": {},
        "batch_stats": [_batch(rows, one) for rows, one in sorted(totals.batches.items())],
        "memory_usage": [],
    }


def _batch(rows: int, totals: BatchTotals) -> Mapping[str, Any]:
    return {
        "batch_size": rows,
        "compute_input": _duration(totals.executions, totals.compute_input_s),
        "compute_infer": _duration(totals.executions, totals.compute_infer_s),
        "compute_output": _duration(totals.executions, totals.compute_output_s),
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}
