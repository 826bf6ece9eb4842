"""Between protobuf's Struct and plain values. A Struct has only floating-point numbers; whole ones become int again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return a Struct as a dict, its names in order.

    KEDA and Kubernetes refuse ``5.0`` where they want a whole number. Protobuf's maps have another order in each
    process; a text made from one, such as a variable's JSON, would restart the pods with the function.
    """
    return {name: _value(struct.fields[name]) for name in sorted(struct.fields)}


def _value(value: struct_pb2.Value) -> Any:  # noqa: ANN401  any JSON value
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return [_value(entry) for entry in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def inner(struct: struct_pb2.Struct, *path: str) -> struct_pb2.Struct:
    """Return the Struct at `path`, an empty one where there is none, without reading the rest."""
    for name in path:
        if name not in struct.fields:  # to index a protobuf map makes the entry
            return struct_pb2.Struct()
        struct = struct.fields[name].struct_value
    return struct


def text(struct: struct_pb2.Struct, *path: str) -> str:
    """Return the text at `path`, an empty one where there is none."""
    *folders, name = path
    found = inner(struct, *folders)
    return found.fields[name].string_value if name in found.fields else ""


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return plain values as a Struct."""
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct
