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


def ready_replicas(selector: str = "") -> str:
    """Replicas that take requests."""
    return f"sum(quartet_ready{matcher(selector)})"


def replicas_by_queue(selector: str = "") -> str:
    """Replicas that the waiting rows want."""
    return f"ceil({waiting_rows(selector)} / {QUEUE_TARGET_ROWS})"


def replicas_by_engine(selector: str = "") -> str:
    """Replicas that the engines' load wants."""
    return f"ceil({busy_engines(selector)} / {UTILIZATION_TARGET})"


def replicas_by_loop(selector: str = "") -> str:
    """Replicas that the event loops' load wants."""
    return f"ceil({busy_loops(selector)} / {UTILIZATION_TARGET})"


def gateway_requests(listener: str, window: str = "1m") -> str:
    """Requests a second at a listener of Envoy (Gateway): what wakes a service from zero.

    ``listener`` is the inside of a label matcher, for instance
    ``envoy_http_conn_manager_prefix="http-10080"``, which is what Envoy Gateway calls port 80. No
    replica can tell, since there is none, and neither can the counters of the route's cluster: with
    no endpoint ``envoy_cluster_upstream_rq_total`` stands still, and Envoy Gateway then takes the
    cluster out of the route (tests/deploy/test_scaling_from_zero.py).
    """
    return f"sum(rate(envoy_http_downstream_rq_total{matcher(listener)}[{window}]))"


def rate(metric: str, selector: str, by: str, window: str) -> str:
    """Increase a second of a counter, summed over all labels but ``by``."""
    return f"sum by ({by}) (rate({metric}{matcher(selector)}[{window}]))"


def quantile(share: float, histogram: str, selector: str, by: str, window: str) -> str:
    """The value that ``share`` of a histogram's observations in ``window`` do not exceed.

    ``by`` lists the labels that are kept apart; it may be empty.
    """
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share:g}, {rate(f'{histogram}_bucket', selector, labels, window)})"


def mean(histogram: str, selector: str, by: str, window: str) -> str:
    """Mean of a histogram's observations in ``window``, for each combination of ``by``."""
    total = rate(f"{histogram}_sum", selector, by, window)
    return f"{total} / {rate(f'{histogram}_count', selector, by, window)}"
