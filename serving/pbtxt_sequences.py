"""Reads the block ``sequence_batching`` of a ``config.pbtxt``."""

from collections.abc import Iterator, Mapping
from typing import Final

from serving.pb.inference import model_config_pb2 as pb
from serving.pbtxt_fields import FieldChecks
from serving.prototext import FieldTree
from serving.sequence_config import (
    ControlConfig,
    ControlKind,
    InitialStateConfig,
    SequenceConfig,
    StateConfig,
)
from serving.types import Datatype

INITIAL_STATE_FOLDER: Final = "initial_state"
"""Folder of a model in which the files of initial states lie."""

SEQUENCE_FIELDS: Final[FieldTree] = {
    "max_sequence_idle_microseconds": None,
    "control_input": None,
    "state": dict.fromkeys(("input_name", "output_name", "data_type", "dims", "initial_state")),
    "direct": dict.fromkeys(("max_queue_delay_microseconds", "minimum_slot_utilization")),
    "oldest": dict.fromkeys(
        ("max_candidate_sequences", "preferred_batch_size", "max_queue_delay_microseconds")
    ),
}
"""The fields acted upon."""

_DEFAULT_IDLE_US: Final = 1_000_000
_Control = pb.ModelSequenceBatching.Control
_KINDS: Final[Mapping[int, ControlKind]] = {
    _Control.CONTROL_SEQUENCE_START: "start",
    _Control.CONTROL_SEQUENCE_READY: "ready",
    _Control.CONTROL_SEQUENCE_END: "end",
    _Control.CONTROL_SEQUENCE_CORRID: "id",
}
_VALUES: Final[Mapping[str, Datatype]] = {
    "int32_false_true": Datatype.INT32,
    "fp32_false_true": Datatype.FP32,
    "bool_false_true": Datatype.BOOL,
}
_ID_TYPES: Final = (
    Datatype.UINT64,
    Datatype.INT64,
    Datatype.UINT32,
    Datatype.INT32,
    Datatype.BYTES,
)


def read_sequences(
    fields: FieldChecks, message: pb.ModelSequenceBatching, max_rows: int | None
) -> SequenceConfig:
    """Read and check the block.

    Args:
        fields: of the file.
        message: the block.
        max_rows: the file's ``max_batch_size``; None if it is silent.

    Raises:
        ConfigError: a value that cannot be; the text names file and field.
    """
    reader = _Reader(fields, max_rows)
    direct, oldest = message.direct, message.oldest
    delay_us = oldest.max_queue_delay_microseconds or direct.max_queue_delay_microseconds
    return SequenceConfig(
        states=tuple(reader.states(message)),
        controls=tuple(reader.controls(message)),
        max_idle_s=(message.max_sequence_idle_microseconds or _DEFAULT_IDLE_US) / 1e6,
        strategy="oldest" if message.HasField("oldest") else "direct",
        max_sequences=reader.max_sequences(oldest),
        preferred_batch_size=reader.preferred(oldest),
        minimum_utilization=reader.utilization(direct),
        max_queue_delay_s=delay_us / 1e6,
    )


class _Reader:
    def __init__(self, fields: FieldChecks, max_rows: int | None) -> None:
        self._fields = fields
        self._max_rows = max_rows

    def states(self, message: pb.ModelSequenceBatching) -> Iterator[StateConfig]:
        block = "sequence_batching.state"
        self._fields.check_unique(f"{block}.input_name", [s.input_name for s in message.state])
        self._fields.check_unique(f"{block}.output_name", [s.output_name for s in message.state])
        for index, state in enumerate(message.state):
            field = f"{block}[{index}]"
            if not state.input_name or not state.output_name:
                self._fields.fail(field, "input_name and output_name must be given")
            field = f"{field} '{state.input_name}'"
            yield StateConfig(
                input=state.input_name,
                output=state.output_name,
                datatype=(datatype := self._state_type(f"{field}.data_type", state.data_type)),
                dims=self._sizes(f"{field}.dims", tuple(state.dims), free=True),
                initial=self._initial(f"{field}.initial_state", state, datatype),
            )

    def controls(self, message: pb.ModelSequenceBatching) -> Iterator[ControlConfig]:
        block = "sequence_batching.control_input"
        seen: list[str] = []
        for index, tensor in enumerate(message.control_input):
            field = f"{block}[{index}]"
            if not tensor.name:
                self._fields.fail(f"{field}.name", "must be given")
            field = f"{field} '{tensor.name}'"
            if len(tensor.control) != 1:
                self._fields.fail(
                    f"{field}.control", f"one kind of control a tensor, got {len(tensor.control)}"
                )
            control = self._control(f"{field}.control", tensor.name, tensor.control[0])
            seen.append(_Control.Kind.Name(tensor.control[0].kind))
            yield control
        self._fields.check_unique(f"{block}.name", [t.name for t in message.control_input])
        self._fields.check_unique(f"{block}.control.kind", seen)

    def max_sequences(self, oldest: pb.ModelSequenceBatching.StrategyOldest) -> int | None:
        count = oldest.max_candidate_sequences
        if count < 0:
            self._fields.fail(
                "sequence_batching.oldest.max_candidate_sequences", f"must be >= 0, got {count}"
            )
        return count or None

    def preferred(self, oldest: pb.ModelSequenceBatching.StrategyOldest) -> tuple[int, ...]:
        for size in oldest.preferred_batch_size:
            if size < 1 or (self._max_rows is not None and size > max(1, self._max_rows)):
                limit = "max_batch_size" if self._max_rows is None else max(1, self._max_rows)
                self._fields.fail(
                    "sequence_batching.oldest.preferred_batch_size",
                    f"must be in 1..{limit}, got {size}",
                )
        return tuple(sorted(set(oldest.preferred_batch_size)))

    def utilization(self, direct: pb.ModelSequenceBatching.StrategyDirect) -> float:
        part = direct.minimum_slot_utilization
        if not 0 <= part <= 1:
            self._fields.fail(
                "sequence_batching.direct.minimum_slot_utilization", f"must be in 0..1, got {part}"
            )
        return part

    def _control(
        self, field: str, name: str, message: pb.ModelSequenceBatching.Control
    ) -> ControlConfig:
        kind = _KINDS[message.kind]
        given = [values for values in _VALUES if getattr(message, values)]
        if kind == "id":
            datatype = self._fields.datatype(f"{field}.data_type", message.data_type)
            if datatype not in _ID_TYPES:
                names = ", ".join(allowed.wire for allowed in _ID_TYPES)
                self._fields.fail(f"{field}.data_type", f"must be one of {names}")
            if given:
                self._fields.fail(f"{field}.{given[0]}", "an id has no false and true")
            return ControlConfig(input=name, kind=kind, datatype=datatype)
        if len(given) != 1:
            self._fields.fail(field, f"must set one of {', '.join(_VALUES)}, got {given}")
        if message.data_type:
            self._fields.fail(f"{field}.data_type", f"follows from {given[0]}, leave it out")
        values = tuple(getattr(message, given[0]))
        if len(values) != 2:
            self._fields.fail(f"{field}.{given[0]}", f"must be two values, got {list(values)}")
        return ControlConfig(
            input=name, kind=kind, datatype=_VALUES[given[0]], false_true=(values[0], values[1])
        )

    def _state_type(self, field: str, value: int) -> Datatype:
        datatype = self._fields.datatype(field, value)
        if datatype is Datatype.BYTES:
            self._fields.fail(field, "states of strings are not served")
        return datatype

    def _sizes(self, field: str, sizes: tuple[int, ...], *, free: bool) -> tuple[int, ...]:
        if any(size < 1 and not (free and size == -1) for size in sizes):
            wanted = ">= 1, or -1 where the graph decides" if free else ">= 1"
            self._fields.fail(field, f"sizes must be {wanted}, got {list(sizes)}")
        return sizes

    def _initial(
        self, field: str, state: pb.ModelSequenceBatching.State, datatype: Datatype
    ) -> InitialStateConfig | None:
        if not state.initial_state:
            return None
        if len(state.initial_state) > 1:
            self._fields.fail(field, f"at most one a state, got {len(state.initial_state)}")
        message = state.initial_state[0]
        chosen = message.WhichOneof("state_data")
        if chosen is None or (chosen == "data_file" and not message.data_file):
            self._fields.fail(field, "must set one of zero_data, data_file")
        given = self._fields.datatype(f"{field}.data_type", message.data_type)
        if given is not datatype:
            self._fields.fail(
                f"{field}.data_type", f"is {given.wire}, the state's is {datatype.wire}"
            )
        folder = self._fields.path.parent / INITIAL_STATE_FOLDER
        return InitialStateConfig(
            datatype=datatype,
            dims=self._sizes(f"{field}.dims", tuple(message.dims), free=False),
            file=self._fields.existing(f"{field}.data_file", message.data_file, folder),
        )
