"""Patches of the autoscaler: a HorizontalPodAutoscaler, or KEDA's ScaledObject."""

from collections.abc import Mapping
from typing import Any

import yaml

from quartet.kit.options import KitOptions
from quartet.kit.quantities import fraction, quoted
from quartet.kit.sizing import Sizing
from quartet.monitoring import queries

IDLE_LOOPS = "0.1"
"""Busy fraction of all event loops that probes and scrapes alone do not reach."""


def autoscaler(sizing: Sizing) -> str:
    """The patch of the HorizontalPodAutoscaler."""
    return f"""\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: quartet
spec:
  minReplicas: {sizing.min_replicas}
  maxReplicas: {sizing.max_replicas}
  metrics:
    # Rows that wait in one replica, over all its models.
    - type: Pods
      pods:
        metric:
          name: quartet_queue_size
        target:
          type: AverageValue
          averageValue: {quoted(str(sizing.queue_target_rows))}
    # Busy fraction of the engine.
    - type: Pods
      pods:
        metric:
          name: quartet_utilization
        target:
          type: AverageValue
          averageValue: {quoted(fraction(sizing.utilization_target))}
    # Busy fraction of the event loop's thread.
    - type: Pods
      pods:
        metric:
          name: quartet_loop_utilization
        target:
          type: AverageValue
          averageValue: {quoted(fraction(sizing.loop_target))}
"""


def scaled_object(sizing: Sizing, options: KitOptions, base: Mapping[str, Any]) -> str:
    """The patch of the ScaledObject ``base``."""
    selector = 'job="quartet"'
    if options.namespace is not None:
        selector = f'namespace="{options.namespace}",{selector}'
    triggers = [
        _trigger("queue", queries.waiting_rows(selector), str(sizing.queue_target_rows), "0"),
        _trigger(
            "utilization", queries.busy_engines(selector), f"{sizing.utilization_target:g}", "0.01"
        ),
        _trigger("loop", queries.busy_loops(selector), f"{sizing.loop_target:g}", IDLE_LOOPS),
    ]
    if options.scale_to_zero:
        triggers.append(_gateway_trigger(base, options))
    for trigger in triggers:
        trigger["metadata"]["serverAddress"] = options.prometheus_address
    spec = {
        "minReplicaCount": sizing.min_replicas,
        "maxReplicaCount": sizing.max_replicas,
        **({} if options.scale_to_zero else {"idleReplicaCount": None}),
        "fallback": {"replicas": max(sizing.min_replicas, sizing.replicas or 0)},
        "triggers": triggers,
    }
    document = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "quartet"},
        "spec": spec,
    }
    head = "# Each query is a sum over the replicas, `threshold` what one of them should carry.\n"
    return head + yaml.safe_dump(document, sort_keys=False, width=200)


def _trigger(name: str, query: str, threshold: str, idle: str) -> dict[str, Any]:
    metadata = {"query": query, "threshold": threshold, "activationThreshold": idle}
    return {"type": "prometheus", "name": name, "metricType": "AverageValue", "metadata": metadata}


def _gateway_trigger(base: Mapping[str, Any], options: KitOptions) -> dict[str, Any]:
    """That of ``base``, which is for the namespace `models`, for the one in question."""
    trigger = next(t for t in base["spec"]["triggers"] if t["name"] == "gateway")
    query = trigger["metadata"]["query"].replace('="models"', f'="{options.namespace}"')
    return {**trigger, "metadata": {**trigger["metadata"], "query": query}}
