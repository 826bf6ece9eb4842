"""Between protobuf's Struct and plain values. A Struct has only floating-point numbers; whole ones become int again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import struct_pb2


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return a Struct as a dict, its names in order.

    KEDA and Kubernetes refuse ``5.0`` where they want a whole number. Protobuf's maps have another order in each
    process; a text made from one, such as a variable's JSON, would restart the pods with the function.
    """
    return {name: _plain(struct.fields[name]) for name in sorted(struct.fields)}


def _plain(value: struct_pb2.Value) -> Any:  # noqa: ANN401  any JSON value
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return [_plain(entry) for entry in value.list_value.values]
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case _:
            return None


class View(Mapping[str, Any]):
    """A Struct as a mapping that reads what it is asked for; of an object in the cluster that is little."""

    __slots__ = ("struct",)

    def __init__(self, struct: struct_pb2.Struct) -> None:
        self.struct = struct

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  any JSON value
        if name not in self.struct.fields:  # to index a protobuf map makes the entry
            raise KeyError(name)
        return _seen(self.struct.fields[name])

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  any JSON value
        """Return what is there; the most of what is asked for is not, and an exception for each would be slow."""
        fields = self.struct.fields
        return _seen(fields[name]) if name in fields else default

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.struct.fields))

    def __len__(self) -> int:
        return len(self.struct.fields)


def _seen(value: struct_pb2.Value) -> Any:  # noqa: ANN401  any JSON value
    match value.WhichOneof("kind"):
        case "struct_value":
            return View(value.struct_value)
        case "list_value":
            return [_seen(entry) for entry in value.list_value.values]
        case _:
            return _plain(value)


def text(struct: struct_pb2.Struct, *path: str) -> str:
    """Return the text at `path`, an empty one where there is none, without reading the rest."""
    *folders, name = path
    for folder in folders:
        if folder not in struct.fields:
            return ""
        struct = struct.fields[folder].struct_value
    return struct.fields[name].string_value if name in struct.fields else ""


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return plain values as a Struct."""
    struct = struct_pb2.Struct()
    fill(struct, values)
    return struct


def fill(struct: struct_pb2.Struct, values: Mapping[str, Any]) -> None:
    """Write plain values, or views, into an empty Struct; several times as fast as `Struct.update`."""
    if isinstance(values, View):
        struct.CopyFrom(values.struct)
        return
    fields = struct.fields
    for name, value in values.items():
        _set(fields[name], value)


def _set(entry: struct_pb2.Value, value: Any) -> None:  # noqa: ANN401  any JSON value
    if isinstance(value, str):
        entry.string_value = value
    elif type(value) is dict or isinstance(value, Mapping):  # to ask for the class first is many times as fast
        entry.struct_value.SetInParent()  # also when there is nothing in it
        fill(entry.struct_value, value)
    elif isinstance(value, bool):
        entry.bool_value = value
    elif isinstance(value, int | float):
        entry.number_value = value
    elif isinstance(value, Sequence):
        entries = entry.list_value
        entries.SetInParent()
        for each in value:
            _set(entries.values.add(), each)
    elif value is None:
        entry.null_value = struct_pb2.NULL_VALUE
    else:
        raise TypeError(f"a Struct cannot hold a {type(value).__name__}")
