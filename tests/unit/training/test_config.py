"""The shared schema: every field documented, defaults valid, ranges kept."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from training.config import AugmentationConfig, RunConfig, ScheduleConfig
from training.registry import FAMILIES, load_family


def fields_without_help(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        if not field.description:
            yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_without_help(field.annotation, f"{prefix}{name}.")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_field_has_help(family: str) -> None:
    assert list(fields_without_help(load_family(family).schema)) == []


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (RunConfig, {"epochs": 0}),
        (RunConfig, {"name": "../elsewhere"}),
        (RunConfig, {"sed": 1}),
        (ScheduleConfig, {"name": "linear"}),
        (AugmentationConfig, {"shift": 1.0}),
    ],
)
def test_a_value_out_of_range_is_refused(
    schema: type[BaseModel], values: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        schema(**values)


def test_augmentation_is_enabled_by_any_of_its_three() -> None:
    off = AugmentationConfig(rotation_deg=0, shift=0, scale=0)
    assert not off.enabled
    assert off.model_copy(update={"shift": 0.1}).enabled
