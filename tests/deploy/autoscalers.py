"""The shipped autoscaling rules, fed by a real Prometheus as a cluster would feed them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.autoscaling.hpa import HpaSpec, PodsMetric
from benchmarks.autoscaling.keda import ScaledObject
from benchmarks.autoscaling.manifests import PodsTarget, Query, read_hpa, read_scaled_object
from benchmarks.autoscaling.replica_calculator import PodValues
from tests.deploy.prometheus import Prometheus
from tests.deploy.tools import REPOSITORY_ROOT

DEPLOY = REPOSITORY_ROOT / "deploy"
HPA_FILE = DEPLOY / "kubernetes" / "base" / "horizontalpodautoscaler.yaml"
SCALED_OBJECT_FILE = DEPLOY / "kubernetes" / "components" / "keda" / "scaledobject.yaml"
ADAPTER_FILE = DEPLOY / "monitoring" / "prometheus-adapter" / "values.yaml"

NAMESPACE = 'namespace="models"'
"""What users of the ScaledObject are told to change."""


@dataclass(frozen=True)
class ShippedHpa:
    """``deploy/kubernetes/base``'s autoscaler and the adapter's queries for its metrics."""

    spec: HpaSpec
    targets: Sequence[PodsTarget]
    queries: dict[str, str]
    """Metric -> metricsQuery of prometheus-adapter."""

    def metrics(self, prometheus: Prometheus, namespace: str, pods: int) -> list[PodsMetric]:
        """What the controller learns of ``pods`` running pods of one Deployment."""
        found = []
        for target in self.targets:
            samples = prometheus.query(self.query(target.metric, namespace))
            values = [value for _, value in samples]
            missing = pods - len(values)
            found.append(PodsMetric(PodValues(values=values, missing=missing), target.target))
        return found

    def query(self, metric: str, namespace: str) -> str:
        """The adapter's query for all pods of a namespace."""
        return (
            self.queries[metric]
            .replace("<<.Series>>", metric)
            .replace("<<.LabelMatchers>>", f'namespace="{namespace}",pod=~"quartet-.*"')
            .replace("<<.GroupBy>>", "pod")
        )


def shipped_hpa() -> ShippedHpa:
    """As the manifests have it."""
    spec, targets = read_hpa(load(HPA_FILE))
    rules = load(ADAPTER_FILE)["rules"]["custom"]
    return ShippedHpa(spec, targets, {rule["name"]["as"]: rule["metricsQuery"] for rule in rules})


@dataclass(frozen=True)
class ShippedScaledObject:
    """``deploy/kubernetes/components/keda``'s ScaledObject."""

    scaled: ScaledObject
    queries: Sequence[Query]

    def values(self, prometheus: Prometheus, namespace: str) -> list[float | None]:
        """Of the triggers, for the Deployment of ``namespace``; no sample is no value."""
        found = [
            prometheus.query(query.expression.replace(NAMESPACE, f'namespace="{namespace}"'))
            for query in self.queries
        ]
        assert all(len(samples) <= 1 for samples in found), found
        return [samples[0][1] if samples else None for samples in found]


def shipped_scaled_object() -> ShippedScaledObject:
    """As the manifest has it."""
    return ShippedScaledObject(*read_scaled_object(load(SCALED_OBJECT_FILE)))


def load(file: Path) -> dict:  # type: ignore[type-arg]
    """The only document of a YAML file."""
    return yaml.safe_load(file.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
