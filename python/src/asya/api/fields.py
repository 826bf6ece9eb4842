"""The kinds of value a manifest's fields hold, and the base of every model.

A constrained text type says in words what it takes: `EXPECTED` maps its pattern to that, for messages. Patterns keep to
what Rust's and Go's regular expressions both know (no look-around), because the cluster's schema is made from them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from asya.policy import parse_duration
from asya.policy.durations import DURATION_PATTERN
from asya.policy.protection import RATE_LENGTH, RATE_PATTERN

GROUP = "asya.sh"
API_VERSION = "asya.sh/v1alpha1"
KIND = "AsyncActor"
NAME_LENGTH = 63
MAX_LIST = 32
"""Most entries of a list or map that a rule looks through; the API server bounds a rule's cost by it."""
MAX_VARIABLES = 100
MAX_REPLICAS = 100_000
INT32 = 2_147_483_647
"""Largest whole number of most Kubernetes fields."""

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_HANDLER = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$"
_ENV_NAME = r"^[A-Za-z_][-._A-Za-z0-9]*$"
_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei|e[0-9]+)?$"
KUBERNETES_QUANTITY = (
    r"^(\+|-)?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE](\+|-)?[0-9]+)?$"  # resource.Quantity, whole
)
_ABSOLUTE = r"^(/[^/:]+)+$"
_INTERVAL = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
_NUMBER = r"^[0-9]+(\.[0-9]+)?$"
_URL_PATH = r"^/[^\s]*$"
_URL = r"^https?://[^\s/]+(/\S*)?$"
_CLASS = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
_POLICY = r"^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$"
_LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$"

EXPECTED: dict[str, str] = {
    LABEL: "a DNS label (lower-case letters, digits and dashes)",
    _SUBDOMAIN: "a DNS name (lower-case letters, digits, dashes and dots)",
    _HANDLER: "module.function or module.Class.method",
    _ENV_NAME: "the name of an environment variable, such as MODEL_PATH",
    _QUANTITY: 'an amount such as "1", 500m or 2Gi',
    KUBERNETES_QUANTITY: 'an amount such as "1", 500m or 2Gi',
    _ABSOLUTE: "an absolute path such as /data, without a colon and without a slash at its end",
    _INTERVAL: "a duration in whole numbers, the largest unit first, such as 30s or 1m30s",
    _NUMBER: 'a number as text, such as "5"',
    _URL_PATH: "a path without blanks, such as /v1/predict",
    _URL: "an http:// or https:// URL",
    _CLASS: "the name of an exception class, such as ValueError or httpx.TimeoutException",
    _POLICY: "a name of letters, digits, dashes, dots and underscores",
    _LABEL_VALUE: "a label value (letters, digits, dashes, dots and underscores)",
    _LABEL_KEY: "a label key such as team or example.com/team",
    DURATION_PATTERN: "a duration such as 500ms, 30s, 5m or 1h30m",
    RATE_PATTERN: "a rate such as 10/s, 90/m or 500/h",
}


class Model(BaseModel):
    """Base of all models: camelCase in manifests, snake_case in Python; unknown fields and wrong types are refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        strict=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


def _validated(rule: str, message: str) -> Any:  # noqa: ANN401  pydantic's own type for it
    """Say in CEL too what a Python validator asks for."""
    return Field(json_schema_extra={"x-kubernetes-validations": [{"rule": rule, "message": message}]})


def _longer_than_nothing(text: str) -> str:
    if parse_duration(text) <= 0:
        raise PydanticCustomError("duration_zero", "expected a duration longer than 0")
    return text


def _no_file(text: str) -> str:
    """Refuse the name of a file: as a module and a function it cannot be told from one, and it is never meant so."""
    if text.endswith(".py"):
        raise PydanticCustomError("handler_file", "expected module.function, found a file")
    return text


def is_label(text: str) -> bool:
    """Tell whether `text` is a DNS label, as the names of actors and namespaces are."""
    return len(text) <= NAME_LENGTH and re.fullmatch(LABEL, text) is not None


def _quantity(value: object) -> object:
    """Take whole numbers as Kubernetes does: `cpu: 1` is the quantity "1". Others must be text there too."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, StringConstraints(min_length=1)]
Label = Annotated[str, StringConstraints(pattern=LABEL, max_length=NAME_LENGTH)]
"""A DNS label (RFC 1123): names of actors, namespaces, containers, volumes."""
Subdomain = Annotated[str, StringConstraints(pattern=_SUBDOMAIN, max_length=253)]
"""A DNS subdomain (RFC 1123): names of most Kubernetes objects."""
HandlerName = Annotated[
    str,
    StringConstraints(pattern=_HANDLER, max_length=512),
    AfterValidator(_no_file),
    _validated("!self.endsWith('.py')", "expected module.function, found a file"),
]
EnvName = Annotated[str, StringConstraints(pattern=_ENV_NAME, max_length=128)]
Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, max_length=32)]
"""A duration as text; `asya.policy.parse_duration` gives seconds."""
PositiveDuration = Annotated[
    Duration,
    AfterValidator(_longer_than_nothing),
    _validated("duration(self) > duration('0s')", "expected a duration longer than 0"),
]
Interval = Annotated[
    str,
    StringConstraints(pattern=_INTERVAL, min_length=2, max_length=32),
    AfterValidator(_longer_than_nothing),
    _validated("duration(self) > duration('0s')", "expected a duration longer than 0"),
]
"""A duration as Prometheus takes it too: no fractions, units in order."""
Rate = Annotated[str, StringConstraints(pattern=RATE_PATTERN, max_length=RATE_LENGTH)]
"""A rate as text; `asya.policy.protection.parse_rate` gives it per second."""
AbsolutePath = Annotated[str, StringConstraints(pattern=_ABSOLUTE, max_length=512)]
"""A path in one spelling, so that two of them are the same path when they are the same text."""
NumberText = Annotated[str, StringConstraints(pattern=_NUMBER, max_length=32)]
UrlPath = Annotated[str, StringConstraints(pattern=_URL_PATH, max_length=512)]
Url = Annotated[str, StringConstraints(pattern=_URL)]
ClassName = Annotated[str, StringConstraints(pattern=_CLASS)]
PolicyName = Annotated[str, StringConstraints(pattern=_POLICY, max_length=NAME_LENGTH)]
LabelKey = Annotated[str, StringConstraints(pattern=_LABEL_KEY, max_length=317)]
LabelValue = Annotated[str, StringConstraints(pattern=_LABEL_VALUE, max_length=NAME_LENGTH)]
Quantity = Annotated[
    str,
    StringConstraints(pattern=_QUANTITY),
    BeforeValidator(_quantity),
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": _QUANTITY, "x-kubernetes-int-or-string": True}
    ),
]
"""A Kubernetes quantity, kept as text."""
PullPolicy = Literal["Always", "IfNotPresent", "Never"]
KubernetesObject = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""A part of the Kubernetes API that is passed on as it is; the API server checks it."""
