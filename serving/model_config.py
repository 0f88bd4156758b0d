"""The configuration of one model, after ``config.pbtxt``, the graph and the defaults were joined.

The fields carry Triton's names where Triton has the concept, so that what an operator knows holds.
"""

from dataclasses import dataclass, field
from typing import Literal

from serving.sequence_config import SequenceConfig
from serving.types import Datatype


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorConfig:
    """One ``input`` or ``output`` block. ``dims`` leave out the batch axis if the model batches."""

    name: str
    datatype: Datatype
    dims: tuple[int, ...]
    """Sizes, -1 for free."""
    optional: bool = False
    """Inputs only: a request may leave it out."""
    label_filename: str = ""
    """Outputs only: file of class names in the model's folder; empty for none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchingConfig:
    """``dynamic_batching``."""

    preferred_batch_size: tuple[int, ...] = ()
    """Row counts at which a batch leaves at once. Empty: only ``max_batch_size``."""
    max_queue_delay_s: float = 0.0
    """Longest wait of the oldest request for company, seconds. 0: wait for those who were here
    a moment ago (docs/decisions/008)."""
    max_queue_rows: int | None = None
    """Rows that may wait; None: the server's default, which is finite."""
    default_timeout_s: float | None = None
    """Longest wait in the queue before the request is refused, seconds; None: no limit."""
    allow_timeout_override: bool = False
    """A request's ``timeout`` parameter (microseconds) may shorten the wait."""
    preserve_ordering: bool = False
    """Answer in the order of arrival."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceGroup:
    """``instance_group``: how many batches of a model run at the same time."""

    count: int
    kind: Literal["auto", "cpu", "gpu"] = "auto"
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionPolicy:
    """``version_policy``: which version folders are served. The highest is the default."""

    kind: Literal["latest", "all", "specific"] = "latest"
    num_versions: int = 1
    """For ``latest``: how many of the highest."""
    versions: tuple[int, ...] = ()
    """For ``specific``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmupInput:
    """One tensor of a warm-up request. ``dims`` leave out the batch axis."""

    name: str
    datatype: Datatype
    dims: tuple[int, ...]
    kind: Literal["zero", "random", "file"]
    file: str = ""
    """For ``file``: raw little-endian values under ``<model>/warmup/``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Warmup:
    """One ``model_warmup`` request, run ``count`` times before the model is ready."""

    name: str
    batch_size: int
    """0: the model does not batch."""
    inputs: tuple[WarmupInput, ...]
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """What a ``config.pbtxt`` says. None or empty: the file is silent and the graph decides."""

    name: str = ""
    platform: str = ""
    backend: str = ""
    max_batch_size: int | None = None
    """Rows of one run, >= 1; 0: the first axis is no batch axis; None: decide from the graph."""
    inputs: tuple[TensorConfig, ...] = ()
    outputs: tuple[TensorConfig, ...] = ()
    batching: BatchingConfig | None = None
    sequences: SequenceConfig | None = None
    """Of a stateful model; then ``batching`` is None."""
    decoupled: bool | None = None
    """Whether one request may have any number of responses; None: the file is silent."""
    instances: tuple[InstanceGroup, ...] = ()
    version_policy: VersionPolicy = VersionPolicy()
    default_model_filename: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    """``parameters`` as text, for instance ``intra_op_thread_count``."""
    warmup: tuple[Warmup, ...] = ()
    ignored: tuple[str, ...] = ()
    """Valid fields that are set but have no effect here, dotted; each is warned of by name."""
