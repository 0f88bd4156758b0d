"""Protobuf messages as the JSON that clients of this protocol read."""

from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_WIDE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def message_body(message: Message) -> dict[str, Any]:
    """``message`` with the names of its proto file, defaults written out, enums as names.

    64-bit integers are numbers here; protobuf's own JSON has them as text.
    """
    body: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _with_integers(body, message.DESCRIPTOR)


def _with_integers(body: dict[str, Any], descriptor: Any) -> dict[str, Any]:
    return {key: _value(item, descriptor.fields_by_name[key]) for key, item in body.items()}


def _value(value: Any, field: FieldDescriptor) -> Any:
    if isinstance(value, list):
        return [_value(item, field) for item in value]
    if field.cpp_type in _WIDE:
        return int(value)
    inner = field.message_type
    if inner is None:
        return value
    if inner.GetOptions().map_entry:
        entry = inner.fields_by_name["value"]
        return {key: _value(item, entry) for key, item in value.items()}
    return _with_integers(value, inner)
