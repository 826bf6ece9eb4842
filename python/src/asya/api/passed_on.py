"""Kinds of value that an actor passes on to its pods: checked by Kubernetes' own definitions, kept as written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from asya.api import kubernetes_parts as parts
from asya.api.fields import Model


class Part:
    """Marks a mapping in a model as a definition of the Kubernetes API."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the value besides, and keep it as it was written."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> parts.Schema:
        """Name the definition."""
        return handler(schema) | {parts.MARK: self.name}

    def _checked(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        parts.check(self.name, value)
        return value


class NamedPart(Model):
    """A definition of the Kubernetes API of which some fields are narrower here; all others are passed on."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]
    part: ClassVar[str]

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> parts.Schema:
        """Name the definition."""
        own = handler(schema)
        handler.resolve_ref_schema(own)[parts.MARK] = cls.part
        return own

    @model_validator(mode="wrap")
    @classmethod
    def _passed_on(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401  any JSON value
        """Tell what is wrong with our fields and with the others at once."""
        problems: list[InitErrorDetails] = []
        model: Self | None = None
        try:
            model = handler(data)
        except ValidationError as error:
            problems += _details(error)
        if isinstance(data, Mapping):
            try:
                parts.check(cls.part, data)
            except ValidationError as error:
                problems += [each for each in _details(error) if each["loc"][0] not in cls.model_fields]
        if model is None or problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return model


def _details(error: ValidationError) -> list[InitErrorDetails]:
    return [
        {
            "type": PydanticCustomError(parts.NO_SCALAR, "expected a whole number or text")
            if each["type"] == parts.NO_SCALAR
            else each["type"],
            "loc": each["loc"],
            "input": each["input"],
            "ctx": each.get("ctx", {}),
        }
        for each in error.errors(include_url=False)
    ]


Affinity = Annotated[dict[str, Any], Part(parts.AFFINITY)]
EnvVarSource = Annotated[dict[str, Any], Part(parts.VARIABLE_SOURCE)]
LabelSelector = Annotated[dict[str, Any], Part(parts.LABEL_SELECTOR)]
NetworkPolicyEgressRule = Annotated[dict[str, Any], Part(parts.EGRESS_RULE)]
PodSecurityContext = Annotated[dict[str, Any], Part(parts.POD_SECURITY_CONTEXT)]
Probe = Annotated[dict[str, Any], Part(parts.PROBE)]
SecurityContext = Annotated[dict[str, Any], Part(parts.SECURITY_CONTEXT)]
