"""``sequence_batching`` of a ``config.pbtxt``: what a stateful model keeps between requests."""

from dataclasses import dataclass
from typing import Literal

from serving.types import Datatype

ControlKind = Literal["start", "ready", "end", "id"]
"""What a control tensor tells the graph of a step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialStateConfig:
    """``initial_state``: what a sequence begins with in place of zeros."""

    datatype: Datatype
    dims: tuple[int, ...]
    """Sizes >= 1, without the batch axis."""
    file: str = ""
    """Raw little-endian values under ``<model>/initial_state/``; empty for zeros."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateConfig:
    """One ``state``: the output ``output`` of a step is the input ``input`` of the next."""

    input: str
    output: str
    datatype: Datatype
    dims: tuple[int, ...]
    """Sizes without the batch axis, -1 where the graph decides."""
    initial: InitialStateConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlConfig:
    """One ``control_input``."""

    input: str
    kind: ControlKind
    datatype: Datatype
    false_true: tuple[float, float] = (0, 1)
    """Values for no and yes; without meaning for ``id``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceConfig:
    """``sequence_batching``."""

    states: tuple[StateConfig, ...] = ()
    controls: tuple[ControlConfig, ...] = ()
    max_idle_s: float = 1.0
    """Time without a request after which a sequence is forgotten."""
    strategy: Literal["direct", "oldest"] = "direct"
    """Which of Triton's two was named. Both are served alike; their fields differ."""
    max_sequences: int | None = None
    """``oldest``: sequences that have a state at once; None: the server's default."""
    preferred_batch_size: tuple[int, ...] = ()
    """``oldest``: as many steps as the smallest of them leave at once."""
    minimum_utilization: float = 0.0
    """``direct``: this part of all sequences leaves at once, 0..1."""
    max_queue_delay_s: float = 0.0
    """Longest wait of a step for the company of others."""
