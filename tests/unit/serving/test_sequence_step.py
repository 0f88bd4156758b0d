import pytest

from serving.errors import InvalidInput
from serving.scheduler import SequenceStep
from serving.sequence_step import read_sequence_step
from serving.types import Datatype, ParameterValue


def read(id_type: Datatype | None = None, **parameters: ParameterValue) -> SequenceStep:
    return read_sequence_step("m", parameters, id_type)


def test_reads_id_and_flags() -> None:
    assert read(sequence_id=5, sequence_start=True) == SequenceStep(id=5, start=True)
    assert read(sequence_id="a", sequence_end=True) == SequenceStep(id="a", end=True)
    assert read(sequence_id=2**64 - 1) == SequenceStep(id=2**64 - 1)


@pytest.mark.parametrize("given", [{}, {"sequence_id": 0}, {"sequence_id": ""}])
def test_refuses_a_request_without_an_id(given: dict[str, ParameterValue]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(None, **given)
    assert caught.value.message == (
        "inference request to model 'm' must specify a non-zero or non-empty correlation ID"
    )


@pytest.mark.parametrize("value", [True, 1.5])
def test_refuses_an_id_of_another_type(value: ParameterValue) -> None:
    with pytest.raises(InvalidInput, match="'sequence_id' is a whole number or a text"):
        read(sequence_id=value)


def test_refuses_flags_that_are_no_flags() -> None:
    with pytest.raises(InvalidInput, match="'sequence_start' is true or false, got 1"):
        read(sequence_id=5, sequence_start=1)


@pytest.mark.parametrize(
    ("id_type", "value"),
    [
        (Datatype.UINT32, 2**32 - 1),
        (Datatype.INT64, -1),
        (Datatype.UINT64, 2**64 - 1),
        (Datatype.BYTES, "abc"),
    ],
)
def test_takes_ids_that_the_graph_can_hold(id_type: Datatype, value: ParameterValue) -> None:
    assert read(id_type, sequence_id=value).id == value


@pytest.mark.parametrize(
    ("id_type", "value", "message"),
    [
        (Datatype.UINT32, 2**32, "sequence_id 4294967296 is out of range for model 'm'"),
        (Datatype.UINT64, -1, "UINT64 holds 0..18446744073709551615"),
        (Datatype.UINT64, "a", "whose input of CONTROL_SEQUENCE_CORRID is UINT64"),
        (Datatype.BYTES, 7, "whose input of CONTROL_SEQUENCE_CORRID is BYTES"),
    ],
)
def test_refuses_ids_that_the_graph_cannot_hold(
    id_type: Datatype, value: ParameterValue, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(id_type, sequence_id=value)
