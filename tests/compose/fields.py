"""Every field of a manifest with a value that is not its default, found in the models themselves."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from asya.api import fields as kinds
from asya.api.passed_on import Part

Manifest = dict[str, Any]
Path = tuple[str, ...]
"""Names of fields; `[]` stands for the entry of a list, `{}` for that of a map."""

_TEXTS = {
    next(each.pattern for each in get_args(kind) if isinstance(each, StringConstraints)): value
    for kind, value in (
        (kinds.Label, "changed"),
        (kinds.Subdomain, "changed"),
        (kinds.HandlerName, "changed.handler"),
        (kinds.EnvName, "CHANGED"),
        (kinds.Quantity, "3"),
        (kinds.AbsolutePath, "/changed"),
        (kinds.UrlPath, "/changed"),
        (kinds.NumberText, "7"),
        (kinds.Url, "http://changed:4318"),
        (kinds.ClassName, "ChangedError"),
        (kinds.PolicyName, "changed"),
        (kinds.LabelValue, "changed"),
        (kinds.LabelKey, "changed"),
        (kinds.Duration, "7s"),
        (kinds.Rate, "7/s"),
        (kinds.Interval, "7s"),
    )
}
_PARTS: dict[str, Manifest] = {
    "Affinity": {"podAffinity": {}},
    "EnvVarSource": {"fieldRef": {"fieldPath": "changed"}},
    "LabelSelector": {"matchLabels": {"changed": "changed"}},
    "NetworkPolicyEgressRule": {"ports": [{"port": 7}]},
    "PodSecurityContext": {"runAsUser": 7},
    "Probe": {"periodSeconds": 7},
    "SecurityContext": {"runAsUser": 7},
}


def every_field(model: type[BaseModel], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield (path, value) of each leaf; the value is that of the whole manifest's part from the first name on."""
    for field in model.model_fields.values():
        name = field.alias
        assert name is not None
        inner, wrap = _inside(field.annotation)
        if inner is not None:
            for below, value in every_field(inner, (*path, name)):
                own = {**_required(inner), **value}
                yield below, {name: _wrapped(own, wrap)}
        elif get_origin(field.annotation) is not Literal or len(get_args(field.annotation)) > 1:
            yield (*path, name), {name: _other(field)}


def _inside(annotation: Any) -> tuple[type[BaseModel] | None, str | None]:
    """Return the model within an annotation, and what it is wrapped in."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, None
    if origin is Annotated:
        return _inside(arguments[0])
    if origin in (Union, types.UnionType):
        return next((found for each in arguments if (found := _inside(each))[0]), (None, None))
    if origin is list:
        return _inside(arguments[0])[0], "[]"
    if origin is dict:
        return _inside(arguments[1])[0], "{}"
    return None, None


def _wrapped(value: Manifest, wrap: str | None) -> Any:
    return {None: value, "[]": [value], "{}": {"changed": value}}[wrap]


def _required(model: type[BaseModel]) -> Manifest:
    found = {}
    for field in model.model_fields.values():
        if field.is_required():
            inner, wrap = _inside(field.annotation)
            own = _required(inner) if inner is not None else None
            value = (
                _other(field) if own is None else own if wrap is None else [own] if wrap == "[]" else {"changed": own}
            )
            found[str(field.alias)] = value
    return found


def _other(field: FieldInfo) -> Any:
    """A value that the field takes and that is not its default."""
    default = None if field.is_required() else field.default
    minimum = next((each.ge for each in field.metadata if hasattr(each, "ge")), None)
    pattern = next((each.pattern for each in field.metadata if isinstance(each, StringConstraints)), None)
    return _value(field.annotation, default, minimum, pattern)


def _value(annotation: Any, default: Any, minimum: Any, pattern: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        metadata = arguments[1:]
        if part := next((each for each in metadata if isinstance(each, Part)), None):
            return _PARTS[part.name.rpartition(".")[2]]
        pattern = pattern or next((each.pattern for each in metadata if isinstance(each, StringConstraints)), None)
        inner = next((each for each in metadata if isinstance(each, FieldInfo)), None)
        if inner is not None and minimum is None:
            minimum = next((each.ge for each in inner.metadata if hasattr(each, "ge")), None)
        return _value(arguments[0], default, minimum, pattern)
    if origin in (Union, types.UnionType):
        return _value(next(each for each in arguments if each is not type(None)), default, minimum, pattern)
    if origin is Literal:
        return next(each for each in arguments if each != default)
    if origin is list:
        return [_value(arguments[0], None, None, None)]
    if origin is dict:
        key = _value(arguments[0], None, None, None)
        return {key: _value(arguments[1], None, None, None)}
    if annotation is bool:
        return not default
    if annotation is int:
        return max(minimum or 0, (default or 0) + 1)
    if annotation is float:
        return 0.5
    if annotation is str:
        return _TEXTS[pattern] if pattern else "changed"
    raise AssertionError(f"no value is known for {annotation}")
