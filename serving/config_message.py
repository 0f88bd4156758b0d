"""The effective configuration of a model as the ``ModelConfig`` message that clients read.

Tools such as perf_analyzer decide by it whether a model batches.
"""

from serving.effective_config import EffectiveConfig
from serving.model_config import ModelConfig
from serving.pb.inference import model_config_pb2 as pb
from serving.pbtxt import BACKEND, PLATFORM
from serving.pbtxt_fields import DATA_TYPE_OF
from serving.sequence_message import sequence_message
from serving.types import TensorSpec


def config_message(
    name: str, config: ModelConfig, effective: EffectiveConfig, *, instances: int, gpu: bool
) -> pb.ModelConfig:
    """The message, after completion from the graph and the server's defaults.

    Args:
        name: the model's name.
        config: what its ``config.pbtxt`` says.
        effective: what it is served with.
        instances: batches that run at once.
        gpu: whether it runs on a GPU.
    """
    message = pb.ModelConfig(
        name=name,
        platform=PLATFORM,
        backend=BACKEND,
        max_batch_size=effective.max_batch_size,
        default_model_filename=config.default_model_filename or "model.onnx",
        instance_group=[
            pb.ModelInstanceGroup(
                name=f"{name}_0",
                count=instances,
                kind=pb.ModelInstanceGroup.KIND_GPU if gpu else pb.ModelInstanceGroup.KIND_CPU,
            )
        ],
    )
    labels = {output.name: output.label_filename for output in config.outputs}
    for spec in effective.inputs:
        message.input.add(
            name=spec.name,
            data_type=DATA_TYPE_OF[spec.datatype],
            dims=_dims(spec, effective),
            optional=spec.optional,
        )
    for spec in effective.outputs:
        message.output.add(
            name=spec.name,
            data_type=DATA_TYPE_OF[spec.datatype],
            dims=_dims(spec, effective),
            label_filename=labels.get(spec.name, ""),
        )
    for key, value in config.parameters.items():
        message.parameters[key].string_value = value
    if effective.decoupled:
        message.model_transaction_policy.decoupled = True
    _set_version_policy(message, config)
    _set_batching(message, effective)
    if config.sequences is not None and effective.sequences is not None:
        message.sequence_batching.CopyFrom(sequence_message(config.sequences, effective.sequences))
    return message


def _dims(spec: TensorSpec, effective: EffectiveConfig) -> tuple[int, ...]:
    return spec.shape[1:] if effective.batches else spec.shape


def _set_version_policy(message: pb.ModelConfig, config: ModelConfig) -> None:
    policy = config.version_policy
    if policy.kind == "all":
        message.version_policy.all.SetInParent()
    elif policy.kind == "specific":
        message.version_policy.specific.versions.extend(policy.versions)
    else:
        message.version_policy.latest.num_versions = policy.num_versions


def _set_batching(message: pb.ModelConfig, effective: EffectiveConfig) -> None:
    rules = effective.rules
    if not rules.join:
        return
    batching = message.dynamic_batching
    # Triton shows an empty list of preferred sizes as the largest size.
    batching.preferred_batch_size.extend(rules.preferred_rows or (rules.max_rows,))
    batching.max_queue_delay_microseconds = round(rules.max_delay_s * 1e6)
    policy = batching.default_queue_policy
    policy.max_queue_size = rules.max_queued_rows
    policy.default_timeout_microseconds = round((effective.default_timeout_s or 0.0) * 1e6)
    policy.allow_timeout_override = effective.allow_timeout_override
