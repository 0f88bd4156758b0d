"""Autoscalers as their manifests describe them: HorizontalPodAutoscaler and KEDA's ScaledObject."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.autoscaling.hpa import DEFAULT_DOWN, DEFAULT_UP, HpaSpec, Policy, Rules
from benchmarks.autoscaling.keda import COOLDOWN_S, ScaledObject, Trigger

EXPONENTS = {"m": -3, "k": 3, "M": 6, "G": 9}


@dataclass(frozen=True, slots=True)
class PodsTarget:
    """A metric of type Pods, and its mean a pod that is wanted."""

    metric: str
    target: float


@dataclass(frozen=True, slots=True)
class Query:
    """A trigger's PromQL, with its thresholds."""

    expression: str
    trigger: Trigger


def parse_quantity(text: str | float) -> float:
    """A decimal quantity, such as ``700m`` or ``16``.

    Raises:
        ValueError: it is none.
    """
    word = str(text)
    suffix = word[-1:]
    return float(f"{word[:-1]}e{EXPONENTS[suffix]}") if suffix in EXPONENTS else float(word)


def read_hpa(document: Mapping[str, Any]) -> tuple[HpaSpec, list[PodsTarget]]:
    """Of an autoscaling/v2 HorizontalPodAutoscaler whose metrics are all of type Pods.

    Raises:
        ValueError: a metric has another type, or another target than AverageValue.
    """
    spec = document["spec"]
    targets = []
    for metric in spec["metrics"]:
        if metric["type"] != "Pods" or metric["pods"]["target"]["type"] != "AverageValue":
            raise ValueError(f"expected a Pods metric with target AverageValue, got {metric}")
        target = parse_quantity(metric["pods"]["target"]["averageValue"])
        targets.append(PodsTarget(metric["pods"]["metric"]["name"], target))
    return _hpa_spec(spec.get("minReplicas", 1), spec["maxReplicas"], spec.get("behavior")), targets


def read_scaled_object(document: Mapping[str, Any]) -> tuple[ScaledObject, list[Query]]:
    """Of a keda.sh/v1alpha1 ScaledObject whose triggers are all of Prometheus.

    Raises:
        ValueError: a trigger has another type, or another metric type than AverageValue.
    """
    spec = document["spec"]
    queries = []
    for trigger in spec["triggers"]:
        kind = trigger.get("metricType", "AverageValue")
        if trigger["type"] != "prometheus" or kind != "AverageValue":
            raise ValueError(f"expected a prometheus trigger with AverageValue, got {trigger}")
        metadata = trigger["metadata"]
        read = Trigger(
            threshold=float(metadata["threshold"]),
            activation_threshold=float(metadata.get("activationThreshold", 0)),
            ignore_null_values=metadata.get("ignoreNullValues", "true") == "true",
        )
        queries.append(Query(metadata["query"], read))
    advanced = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {})
    scaled = ScaledObject(
        triggers=[query.trigger for query in queries],
        hpa=_hpa_spec(
            spec.get("minReplicaCount", 0),
            spec.get("maxReplicaCount", 100),
            advanced.get("behavior"),
        ),
        idle_replicas=spec.get("idleReplicaCount"),
        cooldown_s=spec.get("cooldownPeriod", COOLDOWN_S),
    )
    return scaled, queries


def _hpa_spec(least: int, most: int, behavior: Mapping[str, Any] | None) -> HpaSpec:
    parts = behavior or {}
    return HpaSpec(
        min_replicas=least,
        max_replicas=most,
        up=_rules(parts.get("scaleUp"), DEFAULT_UP),
        down=_rules(parts.get("scaleDown"), DEFAULT_DOWN),
    )


def _rules(part: Mapping[str, Any] | None, default: Rules) -> Rules:
    if part is None:
        return default
    policies = tuple(
        Policy(policy["type"], policy["value"], policy["periodSeconds"])
        for policy in part.get("policies", [])
    )
    return Rules(
        policies or default.policies,
        part.get("stabilizationWindowSeconds", default.stabilization_s),
        part.get("selectPolicy", "Max"),
    )
