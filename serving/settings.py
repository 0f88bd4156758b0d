"""Settings of the server process: flags, then ``QUARTET_*`` variables, then a TOML file."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from quartet.config import Config

MIB = 1024 * 1024


class ServerSettings(Config):
    """Serve a model repository on HTTP, gRPC and a metrics port."""

    model_repository: Path = Path("model_repo")
    """Folder of models: <name>/[config.pbtxt], <name>/<version>/model.onnx."""
    required_models: tuple[str, ...] = ()
    """Models that must be ready before the server is. Others' failures show on their own."""

    host: str = "0.0.0.0"
    """Address to listen on."""
    http_port: int = Field(default=8000, ge=0, le=65535)
    """REST port; 0 takes a free one and logs it."""
    grpc_port: int = Field(default=8001, ge=0, le=65535)
    """gRPC port; 0 takes a free one and logs it."""
    metrics_port: int = Field(default=8002, ge=0, le=65535)
    """Prometheus port, GET /metrics; 0 takes a free one and logs it."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """cuda: CUDA or an error that names what is missing; auto: CUDA where it works, else CPU."""
    threads: int | None = Field(default=None, ge=1)
    """Engine threads in all; none: the container's CPU quota, rounded up."""
    instances: int | None = Field(default=None, ge=1)
    """Batches of one model that run at once; none: one a thread on CPU, one on CUDA."""

    max_batch_size: int = Field(default=64, ge=1)
    """Rows of one run for models that batch and do not say otherwise."""
    max_queue_delay_us: int = Field(default=0, ge=0)
    """Longest wait for company of models without a config.pbtxt, microseconds."""
    max_queue_rows: int = Field(default=1024, ge=1)
    """Rows that may wait for one model before requests are refused (429)."""
    max_body_bytes: int = Field(default=64 * MIB, ge=1)
    """Largest HTTP body, decompressed body and gRPC message, bytes."""
    max_image_pixels: int = Field(default=64_000_000, ge=1)
    """Largest picture, width times height, that is decoded."""

    drain_delay_s: float = Field(default=0.0, ge=0)
    """After SIGTERM: how long to go on serving, not ready, so that load balancers notice; s."""
    drain_timeout_s: float = Field(default=30.0, ge=0)
    """After that: how long requests in flight may take before they are cut off; s."""
    keep_alive_s: int = Field(default=75, ge=1)
    """Idle time after which an HTTP connection is closed; longer than the load balancer's; s."""

    log_format: Literal["json", "text"] = "json"
    """One JSON object a line, or text for people."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    log_requests: bool = False
    """Log one line a request, not only failures."""
