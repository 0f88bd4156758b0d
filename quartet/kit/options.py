"""Flags of ``quartet kit``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import CliPositionalArg

from quartet.config import Config

Positive = Annotated[float, Field(gt=0)]
Setting = Annotated[str, Field(pattern=r"^QUARTET_[A-Z0-9_]+$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A label of RFC 1123, as Kubernetes names things."""
Image = Annotated[
    str, Field(pattern=r"^[^\s:@]+(:\d+/[^\s:@]+)?(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$")
]
OWNED_SETTINGS = frozenset(
    {
        "QUARTET_MODEL_REPOSITORY",
        "QUARTET_DEVICE",
        "QUARTET_HOST",
        "QUARTET_HTTP_PORT",
        "QUARTET_GRPC_PORT",
        "QUARTET_METRICS_PORT",
        "QUARTET_DRAIN_DELAY_S",
        "QUARTET_DRAIN_TIMEOUT_S",
        "QUARTET_GENERATION__SESSION_KEY",
    }
)
"""Settings that other parts of the manifests depend on, and the secret one."""


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
    settings: Mapping[Setting, str] = Field(default_factory=dict)
    """Settings of the server by their environment variables, QUARTET_GATHER_US=0: it is measured
    with them, and the manifests have them. Of a server at --url they are taken as told."""
    models: tuple[str, ...] = ()
    """Models to measure and size for, NAME or NAME:VERSION; none: all, at their default version."""
    seconds: float = Field(default=6.0, gt=0, le=3600)
    """Load of each model in all; several times as long where models are slow or the machine is not
    quiet."""
    rows: int = Field(default=1, ge=1)
    """Rows of one request, for models of tensors that batch."""
    cpus: int | None = Field(default=None, ge=1)
    """CPUs of one replica, to which the server is bound; none: two, or one less than there are."""
    ready_timeout_s: float = Field(default=120.0, gt=0)
    """Longest wait for the server to get ready, seconds."""

    accept_doubts: bool = False
    """Write the kit even from a measurement that something disturbed, such as other processes on
    the machine; SIZING.md tells the doubts."""

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
    """Longest wait that a client still has use for; longer queues refuse with 429,
    and no objective is longer unless it is stated."""

    scaler: Literal["hpa", "keda"] = "hpa"
    """hpa: HorizontalPodAutoscaler on pod metrics (prometheus-adapter); keda: ScaledObject."""
    gpu: bool = False
    """One GPU a replica, and the image for it. Measure on a machine with the same GPU."""
    scale_to_zero: bool = False
    """KEDA alone: no replica while nobody asks; the first requests wait for a start, or fail. Needs
    --namespace, and Envoy Gateway with a Gateway of the name quartet, which counts requests."""
    image: Image | None = None
    """Image with its tag; none: quartet of this version, with -gpu where --gpu is given."""
    model_claim: Name | None = None
    """PersistentVolumeClaim that holds MODEL_REPO, mounted read-only at /models; none: the models
    are in the image."""
    namespace: Name | None = None
    """Namespace of the replicas, to which KEDA's queries and the dashboard are narrowed and which
    the manifests set; none: `kubectl apply -n` sets it, and queries see every namespace."""
    prometheus_address: str = "http://prometheus-operated.monitoring.svc:9090"
    """Prometheus as the cluster reaches it, for KEDA."""
    prometheus_operator: bool = False
    """Apply ServiceMonitor and PrometheusRule too, which need the Prometheus operator's resources.
    They are written in any case."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if owned := sorted(OWNED_SETTINGS & self.settings.keys()):
            raise ValueError(f"settings: {', '.join(owned)}: the kit decides these itself")
        if self.url is not None and self.measurements is not None:
            raise ValueError("url: not together with measurements")
        if self.scale_to_zero and (self.scaler != "keda" or self.namespace is None):
            raise ValueError("scale_to_zero: needs --scaler keda and --namespace")
        return self
