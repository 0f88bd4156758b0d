"""Which sequence a request belongs to, from its parameters."""

from collections.abc import Mapping

import numpy as np

from serving.errors import InvalidInput
from serving.scheduler import SequenceStep
from serving.types import Datatype, ParameterValue

SEQUENCE_ID = "sequence_id"
SEQUENCE_START = "sequence_start"
SEQUENCE_END = "sequence_end"


def read_sequence_step(
    model: str, parameters: Mapping[str, ParameterValue], id_type: Datatype | None
) -> SequenceStep:
    """What ``sequence_id``, ``sequence_start`` and ``sequence_end`` say.

    Args:
        model: its name, for errors.
        parameters: of the request.
        id_type: what the graph takes as id; None if it takes none.

    Raises:
        InvalidInput: there is no id, a value is of the wrong type, or the graph cannot take the id.
    """
    step = SequenceStep(
        id=_id(model, parameters),
        start=_flag(SEQUENCE_START, parameters),
        end=_flag(SEQUENCE_END, parameters),
    )
    _check_fits(model, step.id, id_type)
    return step


def _id(model: str, parameters: Mapping[str, ParameterValue]) -> int | str:
    value = parameters.get(SEQUENCE_ID, 0)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidInput(f"parameter {SEQUENCE_ID!r} is a whole number or a text, got {value!r}")
    if value in (0, ""):
        raise InvalidInput(
            f"inference request to model '{model}' must specify a non-zero or non-empty "
            "correlation ID"
        )
    return value


def _flag(name: str, parameters: Mapping[str, ParameterValue]) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"parameter {name!r} is true or false, got {value!r}")
    return value


def _check_fits(model: str, number: int | str, id_type: Datatype | None) -> None:
    if id_type is None:
        return
    if (id_type is Datatype.BYTES) != isinstance(number, str):
        raise InvalidInput(
            f"{SEQUENCE_ID} {number!r} cannot be told to model '{model}', whose input of "
            f"CONTROL_SEQUENCE_CORRID is {id_type.wire}"
        )
    if isinstance(number, int):
        limits = np.iinfo(id_type.dtype)
        if not limits.min <= number <= limits.max:
            raise InvalidInput(
                f"{SEQUENCE_ID} {number} is out of range for model '{model}': "
                f"{id_type.wire} holds {limits.min}..{limits.max}"
            )
