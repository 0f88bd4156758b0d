"""Reads Triton's ``config.pbtxt``, a ``ModelConfig`` in protobuf's text format.

The schema is complete (``protos/inference/model_config.proto``), so a misspelt field is an error
with its line, while a field that exists but has no effect here is collected for a warning.

Where this server reads a value its own way:

* ``reshape``: clients send the graph's own shape, so ``dims`` become ``reshape.shape``, and the
  field is reported as ignored.
* ``max_queue_size`` bounds rows, not requests; 0 means the server's default.
* ``timeout_action: DELAY`` is reported as ignored: an expired request is refused.
* ``instance_group.count``, ``latest.num_versions`` and ``model_warmup.count`` of 0 mean 1, since
  the format cannot tell 0 from absent.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from serving.model_config import (
    BatchingConfig,
    InstanceGroup,
    ModelConfig,
    TensorConfig,
    VersionPolicy,
    Warmup,
    WarmupInput,
)
from serving.pb.inference import model_config_pb2 as pb
from serving.pbtxt_fields import FieldChecks
from serving.pbtxt_sequences import SEQUENCE_FIELDS, read_sequences
from serving.prototext import FieldTree, parse_file, set_fields
from serving.sequence_config import SequenceConfig

PLATFORM: Final = "onnxruntime_onnx"
"""What Triton calls this kind of model; tools and people match on it."""
BACKEND: Final = "onnxruntime"

# The fields acted upon, or harmless as a group's name is.
_TENSOR: Final[FieldTree] = dict.fromkeys(("name", "data_type", "dims"))
_ACTED_UPON: Final[FieldTree] = {
    **dict.fromkeys(
        ("name", "platform", "backend", "max_batch_size", "version_policy", "parameters",
         "model_warmup", "default_model_filename")
    ),
    "input": {**_TENSOR, "optional": None},
    "output": {**_TENSOR, "label_filename": None},
    "instance_group": dict.fromkeys(("name", "count", "kind", "gpus")),
    "dynamic_batching": {
        **dict.fromkeys(
            ("preferred_batch_size", "max_queue_delay_microseconds", "preserve_ordering")
        ),
        "default_queue_policy": dict.fromkeys(
            ("default_timeout_microseconds", "allow_timeout_override", "max_queue_size")
        ),
    },
    "sequence_batching": SEQUENCE_FIELDS,
    "model_transaction_policy": {"decoupled": None},
}  # fmt: skip


def read_config(path: Path, *, any_name: bool = False) -> ModelConfig:
    """Read and check one ``config.pbtxt``.

    Args:
        path: the file; its folder is the model's, whose name and label files are checked.
        any_name: the model is not named by its folder, so the file's name is not looked at.

    Raises:
        ConfigError: the file cannot be read, is not valid, or asks for what is not served. The
            text names the file, the line where the syntax is at fault, the field and what it wants.
    """
    message = pb.ModelConfig()
    parse_file(path, message)
    if any_name:
        message.ClearField("name")
    return _Reader(path, message).read()


class _Reader:
    """Turns the parsed message into a ModelConfig, checking each field on the way."""

    def __init__(self, path: Path, message: pb.ModelConfig) -> None:
        self._path = path
        self._fields = FieldChecks(path)
        self._message = message
        self._max_rows = message.max_batch_size if message.HasField("max_batch_size") else None

    def read(self) -> ModelConfig:
        message = self._message
        self._check_identity()
        if self._max_rows is not None and self._max_rows < 0:
            self._fields.fail("max_batch_size", f"must be >= 0, got {self._max_rows}")
        return ModelConfig(
            name=message.name,
            platform=message.platform,
            backend=message.backend,
            max_batch_size=self._max_rows,
            inputs=self._tensors("input", message.input),
            outputs=self._tensors("output", message.output),
            batching=self._batching(),
            sequences=self._sequences(),
            decoupled=message.model_transaction_policy.decoupled
            if message.HasField("model_transaction_policy")
            else None,
            instances=tuple(self._instances()),
            version_policy=self._version_policy(),
            default_model_filename=self._fields.file_name(
                "default_model_filename", message.default_model_filename
            ),
            parameters={
                key: message.parameters[key].string_value for key in sorted(message.parameters)
            },
            warmup=tuple(self._warmup()),
            ignored=tuple(dict.fromkeys(set_fields(message, outside=_ACTED_UPON))),
        )

    def _check_identity(self) -> None:
        message, folder = self._message, self._path.absolute().parent.name
        if message.name and message.name != folder:
            self._fields.fail("name", f"must be the folder's name '{folder}', got '{message.name}'")
        if message.backend not in ("", BACKEND):
            self._fields.fail("backend", f"'{message.backend}' is not served, expected '{BACKEND}'")
        if message.platform not in ("", PLATFORM):
            self._fields.fail(
                "platform", f"'{message.platform}' is not served, expected '{PLATFORM}'"
            )

    def _tensors(
        self, block: str, messages: Sequence[pb.ModelInput | pb.ModelOutput]
    ) -> tuple[TensorConfig, ...]:
        tensors = tuple(
            self._tensor(f"{block}[{index}]", message) for index, message in enumerate(messages)
        )
        self._fields.check_unique(block, [tensor.name for tensor in tensors])
        return tensors

    def _tensor(self, field: str, message: pb.ModelInput | pb.ModelOutput) -> TensorConfig:
        if not message.name:
            self._fields.fail(f"{field}.name", "must be given")
        field = f"{field} '{message.name}'"
        dims = self._fields.dims(f"{field}.dims", message.dims)
        if message.HasField("reshape"):
            dims = self._reshaped(f"{field}.reshape.shape", dims, message.reshape.shape)
        labels = message.label_filename if isinstance(message, pb.ModelOutput) else ""
        return TensorConfig(
            name=message.name,
            datatype=self._fields.datatype(f"{field}.data_type", message.data_type),
            dims=dims,
            optional=isinstance(message, pb.ModelInput) and message.optional,
            label_filename=self._fields.existing(
                f"{field}.label_filename", labels, self._path.parent
            ),
        )

    def _reshaped(
        self, field: str, dims: tuple[int, ...], values: Iterable[int]
    ) -> tuple[int, ...]:
        shape = tuple(values)
        if shape:
            self._fields.dims(field, shape)
        if -1 not in (*dims, *shape) and math.prod(dims) != math.prod(shape):
            self._fields.fail(
                field, f"must hold as many elements as dims {list(dims)}, got {list(shape)}"
            )
        return shape

    def _batching(self) -> BatchingConfig | None:
        if not self._message.HasField("dynamic_batching"):
            return None
        message = self._message.dynamic_batching
        policy = message.default_queue_policy
        for size in message.preferred_batch_size:
            if size < 1 or (self._max_rows is not None and size > self._max_rows):
                limit = "max_batch_size" if self._max_rows is None else self._max_rows
                self._fields.fail(
                    "dynamic_batching.preferred_batch_size", f"must be in 1..{limit}, got {size}"
                )
        return BatchingConfig(
            preferred_batch_size=tuple(sorted(set(message.preferred_batch_size))),
            max_queue_delay_s=message.max_queue_delay_microseconds / 1e6,
            max_queue_rows=policy.max_queue_size or None,
            default_timeout_s=policy.default_timeout_microseconds / 1e6 or None,
            allow_timeout_override=policy.allow_timeout_override,
            preserve_ordering=message.preserve_ordering,
        )

    def _sequences(self) -> SequenceConfig | None:
        if not self._message.HasField("sequence_batching"):
            return None
        return read_sequences(self._fields, self._message.sequence_batching, self._max_rows)

    def _instances(self) -> Iterator[InstanceGroup]:
        kinds: dict[int, Any] = {
            pb.ModelInstanceGroup.KIND_CPU: "cpu",
            pb.ModelInstanceGroup.KIND_GPU: "gpu",
        }
        for index, group in enumerate(self._message.instance_group):
            field = f"instance_group[{index}]"
            kind = kinds.get(group.kind, "auto")
            if group.count < 0:
                self._fields.fail(f"{field}.count", f"must be >= 1, got {group.count}")
            if any(gpu < 0 for gpu in group.gpus):
                self._fields.fail(f"{field}.gpus", f"must be >= 0, got {list(group.gpus)}")
            if kind == "cpu" and group.gpus:
                self._fields.fail(f"{field}.gpus", "must be absent when kind is KIND_CPU")
            yield InstanceGroup(count=group.count or 1, kind=kind, gpus=tuple(group.gpus))

    def _version_policy(self) -> VersionPolicy:
        policy = self._message.version_policy
        match policy.WhichOneof("policy_choice"):
            case "all":
                return VersionPolicy(kind="all")
            case "specific":
                versions = tuple(policy.specific.versions)
                field = "version_policy.specific.versions"
                if not versions or min(versions) < 1:
                    self._fields.fail(
                        field, f"must be one or more integers >= 1, got {list(versions)}"
                    )
                self._fields.check_unique(field, versions)
                return VersionPolicy(kind="specific", versions=versions)
        return VersionPolicy(num_versions=policy.latest.num_versions or 1)

    def _warmup(self) -> Iterator[Warmup]:
        for index, message in enumerate(self._message.model_warmup):
            field = f"model_warmup[{index}]"
            limit = 1 if self._max_rows == 0 else self._max_rows
            if limit is not None and message.batch_size > limit:
                self._fields.fail(
                    f"{field}.batch_size", f"must be <= {limit}, got {message.batch_size}"
                )
            yield Warmup(
                name=message.name,
                batch_size=0 if self._max_rows == 0 else message.batch_size or 1,
                inputs=tuple(
                    self._warmup_input(f"{field}.inputs '{name}'", name, message.inputs[name])
                    for name in sorted(message.inputs)
                ),
                count=message.count or 1,
            )

    def _warmup_input(self, field: str, name: str, message: pb.ModelWarmup.Input) -> WarmupInput:
        kinds: dict[str | None, Any] = {
            "zero_data": "zero",
            "random_data": "random",
            "input_data_file": "file",
        }
        chosen = message.WhichOneof("input_data_type")
        if chosen not in kinds:
            self._fields.fail(field, f"must set one of {', '.join(k for k in kinds if k)}")
        dims = tuple(message.dims)
        if any(size < 1 for size in dims):
            self._fields.fail(f"{field}.dims", f"sizes must be >= 1, got {list(dims)}")
        file = message.input_data_file
        return WarmupInput(
            name=name,
            datatype=self._fields.datatype(f"{field}.data_type", message.data_type),
            dims=dims,
            kind=kinds[chosen],
            file=self._fields.existing(
                f"{field}.input_data_file", file, self._path.parent / "warmup"
            ),
        )
