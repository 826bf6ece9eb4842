"""Rules in CEL asked by an evaluator that is not Kubernetes' own: where no API server was built, and beside it.

Values are looked at from where each rule stands; a rule whose value is absent is not asked, as the API server has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import celpy

_ENVIRONMENT = celpy.Environment()


def broken_rules(schema: Mapping[str, Any], value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, message) of each rule in `schema` that `value` breaks when it is made.

    Raises:
        celpy.CELEvalError: A rule looks at something that is not there.
    """
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"]:
            continue  # asked of updates only
        if not _program(rule["rule"]).evaluate({"self": celpy.json_to_cel(value)}):
            yield path + rule.get("fieldPath", ""), rule["message"]
    if isinstance(value, Mapping):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, inner in value.items():
            part = properties.get(name, others)
            if isinstance(part, Mapping):
                yield from broken_rules(part, inner, f"{path}.{name}")
    elif isinstance(value, list) and "items" in schema:
        for index, inner in enumerate(value):
            yield from broken_rules(schema["items"], inner, f"{path}[{index}]")


@cache
def _program(rule: str) -> celpy.Runner:
    return _ENVIRONMENT.program(_ENVIRONMENT.compile(rule))
