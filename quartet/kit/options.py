"""Flags of ``quartet kit``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg

from quartet.config import Config

Positive = Annotated[float, Field(gt=0)]


class KitOptions(Config):
    """Measure a model repository under load; write manifests and alerts with fitting numbers."""

    model_repo: CliPositionalArg[Path]
    """Folder of models, as `quartet serve --model-repository` takes it."""
    out: Path
    """Folder to write; `kubectl apply -k` takes it as it is."""
    force: bool = False
    """Write into a folder that is not empty; files of the same names are replaced."""

    measurements: Path | None = None
    """A measurements.json of an earlier run; nothing is measured."""
    url: str | None = None
    """Measure the server that runs there, over HTTP, in place of starting one. It must serve the
    models of MODEL_REPO to nobody else meanwhile."""
    serve: tuple[str, ...] = ()
    """Flags of the server that is started, each as one word: --serve=--gather-us=0."""
    models: tuple[str, ...] = ()
    """Models to measure and size for, NAME or NAME:VERSION; none: all, at their default version."""
    seconds: float = Field(default=6.0, gt=0, le=3600)
    """Load of each model in all. Slow models take up to three times as long."""
    rows: int = Field(default=1, ge=1)
    """Rows of one request, for models of tensors that batch."""
    cpus: int | None = Field(default=None, ge=1)
    """CPUs of one replica, to which the server is bound; none: two, or one less than there are."""
    ready_timeout_s: float = Field(default=120.0, gt=0)
    """Longest wait for the server to get ready, seconds."""

    requests_per_second: float | None = Field(default=None, gt=0)
    """Load expected at the busiest time, over all models; none: replicas are not computed from a
    load."""
    mix: Mapping[str, Positive] = Field(default_factory=dict)
    """Share of each model in the requests, NAME=WEIGHT; none: equal shares."""
    burst: float = Field(default=2.0, ge=1)
    """Times the expected load that the largest number of replicas can take."""
    min_replicas: int = Field(default=2, ge=1)
    """Replicas that always run; two, so that one may be lost."""
    max_replicas: int | None = Field(default=None, ge=1)
    """Upper bound; none: from the load and --burst, or 8 where no load is given."""
    latency_objective_ms: Mapping[str, Positive] = Field(default_factory=dict)
    """Latency objective of a model at its 99th percentile, NAME=MILLISECONDS; others get
    --latency-factor times what was measured."""
    latency_factor: float = Field(default=2.0, ge=1)
    """Latency objective over the p99 measured at about 70 % of capacity."""
    availability: float = Field(default=0.999, gt=0, lt=1)
    """Objective for the share of requests that do not fail."""
    queue_timeout_s: float = Field(default=5.0, gt=0)
    """Longest wait in a queue that a client still has use for; more is refused with 429."""

    scaler: Literal["hpa", "keda"] = "hpa"
    """hpa: HorizontalPodAutoscaler on pod metrics (prometheus-adapter); keda: ScaledObject."""
    gpu: bool = False
    """One GPU a replica, and the image for it. Measure on a machine with the same GPU."""
    image: str | None = None
    """Image with its tag; none: quartet of this version, with -gpu where --gpu is given."""
    model_claim: str | None = None
    """PersistentVolumeClaim that holds MODEL_REPO, mounted read-only at /models; none: the models
    are in the image."""
    namespace: str | None = None
    """Namespace of the replicas, written into the queries of alerts, dashboard and scaling; none:
    queries see every namespace."""
    prometheus_address: str = "http://prometheus-operated.monitoring.svc:9090"
    """Prometheus as the cluster reaches it, for KEDA."""
    prometheus_operator: bool = True
    """Add ServiceMonitor and PrometheusRule; they need the Prometheus Operator's resources."""
