"""Flux's health expressions, asked as Flux does (its RFC 0009) by an evaluator of CEL that is not Flux's own."""

from __future__ import annotations

from typing import Any

import celpy
import pytest
from tests.gitops.building import build
from tests.gitops.cases import CASES, Case

ENVIRONMENT = celpy.Environment()


@pytest.fixture(scope="module")
def expressions() -> dict[tuple[str, str], dict[str, str]]:
    found: dict[tuple[str, str], dict[str, str]] = {}
    for manifest in build("flux/rabbitmq"):
        for each in manifest["spec"].get("healthCheckExprs", ()):
            found[each["apiVersion"], each["kind"]] = each
    return found


def _health(expressions: dict[str, str], manifest: dict[str, Any]) -> str:
    observed = manifest.get("status", {}).get("observedGeneration")
    if observed is not None and observed != manifest["metadata"].get("generation", observed):
        return "inProgress"
    context = {name: celpy.json_to_cel(value) for name, value in manifest.items()}
    for outcome in ("inProgress", "failed", "current"):
        if outcome not in expressions:
            continue
        try:
            if ENVIRONMENT.program(ENVIRONMENT.compile(expressions[outcome])).evaluate(context):
                return outcome
        except celpy.CELEvalError:
            # Flux waits while a field is not there.
            return "inProgress"
    return "inProgress"


@pytest.mark.parametrize("case", [case for case in CASES if case.flux], ids=str)
def test_health(expressions: dict[tuple[str, str], dict[str, str]], case: Case) -> None:
    asked = expressions[case.object["apiVersion"], case.object["kind"]]
    assert _health(asked, case.object) == case.flux


def test_each_expression_has_cases(expressions: dict[tuple[str, str], dict[str, str]]) -> None:
    for name in expressions:
        found = {case.flux for case in CASES if (case.object["apiVersion"], case.object["kind"]) == name}
        assert {"inProgress", "current", "failed"} - found <= ({"current"} if name[1] == "Provider" else set()), name
