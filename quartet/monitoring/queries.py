"""The PromQL that scaling rules, alerts and dashboards share. Each question has one text.

A server is one target of Prometheus, told apart by the label ``pod``. ``selector`` is the inside of
a label matcher, for instance ``namespace="models",job="quartet"``, or empty.
"""

QUEUE_TARGET_ROWS = 16
"""Rows that may wait in one replica before another is wanted."""
UTILIZATION_TARGET = 0.7
"""Busy fraction of an engine, or of an event loop, above which another replica is wanted."""


def matcher(selector: str) -> str:
    """``selector`` in braces, or nothing."""
    return f"{{{selector}}}" if selector else ""


def waiting_rows(selector: str = "") -> str:
    """Rows that wait in all replicas; divided by the target it is the replicas they need."""
    return f"sum(quartet_queue_size{matcher(selector)})"


def busy_engines(selector: str = "") -> str:
    """Sum of the busy fractions of all replicas' engines, in replicas."""
    return f"sum(quartet_utilization{matcher(selector)})"


def busy_loops(selector: str = "") -> str:
    """Sum of the busy fractions of all replicas' event loops, in replicas."""
    return f"sum(quartet_loop_utilization{matcher(selector)})"
