"""The sequence batching of a model as the message that clients read."""

from serving.pb.inference import model_config_pb2 as pb
from serving.pbtxt_fields import DATA_TYPE_OF
from serving.sequence_config import SequenceConfig
from serving.sequence_plan import SequencePlan
from serving.types import Datatype

_Control = pb.ModelSequenceBatching.Control
_KINDS = {
    "start": _Control.CONTROL_SEQUENCE_START,
    "ready": _Control.CONTROL_SEQUENCE_READY,
    "end": _Control.CONTROL_SEQUENCE_END,
    "id": _Control.CONTROL_SEQUENCE_CORRID,
}


def sequence_message(config: SequenceConfig, plan: SequencePlan) -> pb.ModelSequenceBatching:
    """The block in effect, with the sizes that the graph decided.

    Args:
        config: what the file says.
        plan: what became of it.
    """
    message = pb.ModelSequenceBatching(
        max_sequence_idle_microseconds=round(plan.rules.max_idle_s * 1e6)
    )
    delay_us = round(plan.rules.max_delay_s * 1e6)
    if config.strategy == "oldest":
        message.oldest.max_candidate_sequences = plan.rules.slots
        message.oldest.preferred_batch_size.extend(config.preferred_batch_size)
        message.oldest.max_queue_delay_microseconds = delay_us
    else:
        message.direct.max_queue_delay_microseconds = delay_us
        message.direct.minimum_slot_utilization = config.minimum_utilization
    _add_controls(message, config)
    shapes = {state.input: state.shape for state in plan.states}
    for state in config.states:
        added = message.state.add(
            input_name=state.input,
            output_name=state.output,
            data_type=DATA_TYPE_OF[state.datatype],
            dims=shapes[state.input],
        )
        if state.initial is not None:
            initial = added.initial_state.add(
                data_type=DATA_TYPE_OF[state.initial.datatype], dims=state.initial.dims
            )
            if state.initial.file:
                initial.data_file = state.initial.file
            else:
                initial.zero_data = True
    return message


def _add_controls(message: pb.ModelSequenceBatching, config: SequenceConfig) -> None:
    for control in config.controls:
        entry = message.control_input.add(name=control.input).control.add(kind=_KINDS[control.kind])
        no, yes = control.false_true
        if control.kind == "id":
            entry.data_type = DATA_TYPE_OF[control.datatype]
        elif control.datatype is Datatype.BOOL:
            entry.bool_false_true.extend((bool(no), bool(yes)))
        elif control.datatype is Datatype.INT32:
            entry.int32_false_true.extend((int(no), int(yes)))
        else:
            entry.fp32_false_true.extend((no, yes))
