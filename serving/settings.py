"""Settings of the server process: flags, then ``QUARTET_*`` variables, then a TOML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from quartet.config import Config

MIB = 1024 * 1024
MAX_GRPC_S = 2_000_000.0
"""gRPC counts milliseconds in 32 bits."""


class GrpcSettings(Config):
    """Limits and keep-alive of the gRPC port."""

    max_message_bytes: int = Field(default=64 * MIB, ge=1, le=2**31 - 1)
    """Largest message in or out, after decompression, bytes."""
    keepalive_time_s: float = Field(default=60.0, gt=0, le=MAX_GRPC_S)
    """Silence after which the server pings a client, seconds."""
    keepalive_timeout_s: float = Field(default=20.0, gt=0, le=MAX_GRPC_S)
    """Time that a client has to answer the ping before its connection is closed, seconds."""
    keepalive_without_calls: bool = True
    """Clients may ping while they have no call open; else such pings count as abuse."""
    min_ping_interval_s: float = Field(default=10.0, ge=0, le=MAX_GRPC_S)
    """Shortest time between pings of a client without a call open, seconds."""
    max_ping_strikes: int = Field(default=2, ge=0)
    """Pings over that rate before the connection is closed; 0 takes any number."""
    max_connection_age_s: float = Field(default=300.0, gt=0, le=MAX_GRPC_S)
    """Age at which a connection is asked to be made anew (10 % jitter), so that clients spread
    over new replicas; seconds."""
    max_connection_age_grace_s: float = Field(default=30.0, gt=0, le=MAX_GRPC_S)
    """Time that calls in flight on such a connection have to finish, seconds."""
    max_stream_requests: int = Field(default=128, ge=1)
    """Requests of one stream (ModelStreamInfer) in work at once; more are not read, so that the
    client waits."""
    reflection: bool = True
    """Describe the services to tools such as grpcurl."""


class GenerationSettings(Config):
    """Text generation: rows that share runs, and the states that clients keep here."""

    slots: int = Field(default=256, ge=1, le=4096)
    """Texts of one model that are written at once; each holds one row of hidden state."""
    max_waiting_rows: int = Field(default=1024, ge=1)
    """Texts that may wait for a slot of one model before requests are refused (429)."""
    steps: int | None = Field(default=None, ge=1, le=256)
    """Symbols written in one run, that is in one piece of a stream; none: as the model declares.
    Fewer give smaller pieces and more work for the server."""
    prefill_chunk: int = Field(default=64, ge=1, le=65536)
    """Symbols of a prompt that are read in one run. Texts that are being written wait for such a
    run at most once at a time."""

    session_ttl_s: float = Field(default=900.0, gt=0)
    """Time after its last use for which a session or a sequence of text is kept, seconds."""
    max_sessions: int = Field(default=1024, ge=0)
    """Sessions kept at once, over all models; 0 keeps none."""
    session_key: SecretStr | None = Field(default=None, min_length=16)
    """Signs exported sessions; servers that import each other's need the same one. None: one drawn
    at start, so that exports end with the process. Give it by environment or file: others can read
    a command line."""


class ImageGenerationSettings(Config):
    """Generated pictures: how much one request may ask for."""

    max_images_http: int = Field(default=1024, ge=1)
    """Pictures of one REST request, whose answer is written whole."""
    max_images_grpc: int = Field(default=1_000_000, ge=1)
    """Pictures of one gRPC request, whose answer is a stream."""
    max_frames: int = Field(default=1024, ge=2)
    """Pictures of one interpolation."""
    max_picture_pixels: int = Field(default=16_777_216, ge=1)
    """Width times height of one encoded picture: a sheet, a strip, all frames of an animation."""


class ServerSettings(Config):
    """Serve a model repository on HTTP, gRPC and a metrics port."""

    flag_aliases: ClassVar[Mapping[str, str]] = {"model-repository": "model-dir"}

    model_repository: Path = Path("model_repo")
    """Folder of models: <name>/[config.pbtxt], <name>/<version>/model.onnx. Or of one model:
    <version>/model.onnx or just model.onnx."""
    model_name: str = ""
    """Name to serve the only model of the folder under, beside that of its own folder if it has
    one. Of several models each keeps its name, and this one must be ready if it is among them."""
    models: tuple[str, ...] = ()
    """Models of the repository that are served; none named: all of them."""
    model_wait_s: float = Field(default=0.0, ge=0)
    """How long to wait for the folder to appear, where another container brings it; s."""
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
    listen_when_loaded: bool = False
    """Open the ports only when the models are loaded, for balancers and clients that take an open
    port for a ready server. Without, probes can tell a server that loads from one that hangs."""

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
    gather_us: int = Field(default=1000, ge=0)
    """Longest wait for company of models whose own delay is 0, microseconds. Nobody waits who was
    alone recently; 0: never wait."""
    max_queue_rows: int = Field(default=1024, ge=1)
    """Rows that may wait for one model, and pictures that may be worked on at once, before requests
    are refused (429)."""
    max_body_bytes: int = Field(default=64 * MIB, ge=1)
    """Largest HTTP body, before and after decompression, bytes."""
    cors_origins: tuple[str, ...] = ()
    """Origins, as https://page.example, whose web pages may call the REST API; * allows all."""
    max_image_pixels: int = Field(default=64_000_000, ge=1)
    """Largest picture, width times height, that is decoded."""

    grpc: GrpcSettings = GrpcSettings()
    """The gRPC port."""
    generation: GenerationSettings = GenerationSettings()
    """Text generation."""
    image_generation: ImageGenerationSettings = ImageGenerationSettings()
    """Generated pictures."""

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
