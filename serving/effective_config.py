"""What a model is, once its graph, its ``config.pbtxt`` and the server's defaults are joined."""

from collections.abc import Sequence
from dataclasses import dataclass

from quartet.config import ConfigError
from serving.batch_queue import QueueRules
from serving.model_config import BatchingConfig, ModelConfig, TensorConfig
from serving.sequence_plan import SequencePlan, resolve_sequences, visible
from serving.types import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingDefaults:
    """What the server assumes where a model is silent."""

    max_batch_size: int = 64
    max_queue_delay_s: float = 0.0
    gather_s: float = 0.0
    max_queue_rows: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveConfig:
    """How one model version is served."""

    inputs: tuple[TensorSpec, ...]
    """Full shapes, batch axis included. Without states and controls of a stateful model."""
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    """0: the model does not batch."""
    rules: QueueRules
    default_timeout_s: float | None
    allow_timeout_override: bool
    sequences: SequencePlan | None = None
    """Of a stateful model: what is kept between the requests of a sequence."""
    decoupled: bool = False
    """Whether a request may have any number of responses, as one for text has."""

    @property
    def batches(self) -> bool:
        """Whether the first axis of every tensor is the batch."""
        return self.max_batch_size > 0


def resolve_config(
    config: ModelConfig,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    defaults: BatchingDefaults,
) -> EffectiveConfig:
    """Join what the graph says with what ``config.pbtxt`` says.

    A model whose file is silent batches if the first axis of all its tensors is free, the rule by
    which Triton completes ONNX models, and if the graph does not call these axes by different
    names: rows of detections, or steps of a sequence, are no batch.

    Raises:
        ConfigError: the file contradicts the graph; the text names the tensor and both sides.
    """
    free_first_axis = all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
    max_batch_size = config.max_batch_size
    if max_batch_size is None:
        axes = {spec.first_axis for spec in (*inputs, *outputs) if spec.first_axis}
        max_batch_size = defaults.max_batch_size if free_first_axis and len(axes) <= 1 else 0
    elif max_batch_size > 0 and not free_first_axis:
        raise ConfigError(
            f"max_batch_size is {max_batch_size}, but the first axis of "
            f"{_first_fixed(inputs, outputs)} is not free in the graph; set max_batch_size: 0"
        )
    batches = max_batch_size > 0
    sequences = _sequences(config, inputs, outputs, max_batch_size, defaults)
    if sequences is not None:
        inputs = visible(inputs, sequences.hidden_inputs, ())
        outputs = visible(outputs, sequences.hidden_outputs, (o.name for o in config.outputs))
    # A config without dynamic_batching asks for no joining; a model without config gets it.
    batching = config.batching
    if batching is None and config.max_batch_size is None and sequences is None:
        batching = BatchingConfig(max_queue_delay_s=defaults.max_queue_delay_s)
    return EffectiveConfig(
        inputs=_joined("input", config.inputs, inputs, batches, all_required=True),
        outputs=_joined("output", config.outputs, outputs, batches, all_required=False),
        max_batch_size=max_batch_size,
        rules=_rules(batching, max_batch_size, defaults),
        default_timeout_s=batching.default_timeout_s if batching else None,
        # A step that runs out of time never happened, so a sequence's client may set the limit.
        allow_timeout_override=(
            batching.allow_timeout_override if batching else sequences is not None
        ),
        sequences=sequences,
    )


def _sequences(
    config: ModelConfig,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    max_batch_size: int,
    defaults: BatchingDefaults,
) -> SequencePlan | None:
    if config.sequences is None:
        return None
    plan = resolve_sequences(
        config.sequences,
        inputs,
        outputs,
        max_batch_size=max_batch_size,
        max_queued_steps=defaults.max_queue_rows,
    )
    for tensor in config.inputs:
        if tensor.name in plan.hidden_inputs:
            raise ConfigError(
                f"input {tensor.name!r} is a state or a control of sequence_batching, which no "
                "client gives; leave it out of input"
            )
    return plan


def _rules(
    batching: BatchingConfig | None, max_batch_size: int, defaults: BatchingDefaults
) -> QueueRules:
    limit = batching.max_queue_rows if batching else None
    return QueueRules(
        max_rows=max(1, max_batch_size),
        preferred_rows=batching.preferred_batch_size if batching else (),
        max_delay_s=batching.max_queue_delay_s if batching else 0.0,
        gather_s=defaults.gather_s,
        max_queued_rows=limit or defaults.max_queue_rows,
        join=batching is not None and max_batch_size > 0,
    )


def _joined(
    kind: str,
    configured: Sequence[TensorConfig],
    graph: Sequence[TensorSpec],
    batches: bool,
    *,
    all_required: bool,
) -> tuple[TensorSpec, ...]:
    """The tensors to serve: the file's where it names any (checked), else the graph's."""
    if not configured:
        return tuple(graph)
    known = {spec.name: spec for spec in graph}
    for tensor in configured:
        if tensor.name not in known:
            raise ConfigError(
                f"{kind} {tensor.name!r} is not in the graph, which has {sorted(known)}"
            )
    missing = [spec.name for spec in graph if spec.name not in {c.name for c in configured}]
    if missing and all_required:
        raise ConfigError(f"{kind}s {missing} of the graph are not in the configuration")
    return tuple(_checked(kind, tensor, known[tensor.name], batches) for tensor in configured)


def _checked(kind: str, tensor: TensorConfig, spec: TensorSpec, batches: bool) -> TensorSpec:
    if tensor.datatype is not spec.datatype:
        raise ConfigError(
            f"{kind} {tensor.name!r}: data_type is {tensor.datatype.wire}, "
            f"the graph has {spec.datatype.wire}"
        )
    shape = (-1, *tensor.dims) if batches else tensor.dims
    agrees = len(shape) == len(spec.shape) and all(
        -1 in (wanted, real) or wanted == real
        for wanted, real in zip(shape, spec.shape, strict=True)
    )
    # An output of unknown rank has no shape in the graph to contradict.
    if not agrees and not (kind == "output" and not spec.shape):
        raise ConfigError(
            f"{kind} {tensor.name!r}: dims {list(tensor.dims)} mean shape {list(shape)}, "
            f"the graph has {list(spec.shape)}"
        )
    return TensorSpec(spec.name, spec.datatype, shape, optional=tensor.optional)


def _first_fixed(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    for kind, specs in (("input", inputs), ("output", outputs)):
        for spec in specs:
            if spec.shape[:1] != (-1,):
                return f"{kind} {spec.name!r} with shape {list(spec.shape)}"
    raise AssertionError("called only when some first axis is fixed")
