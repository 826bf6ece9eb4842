"""One object: is it ours, and what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from asya.api.actor import RULES_APART, AsyncActor
from asya.api.crossrule import mapping
from asya.api.fields import API_VERSION, GROUP, KIND
from asya.api.problems import Finding, findings, show
from asya.api.rules import broken_rules

_NEAR = 0.8


def check(value: dict[str, Any]) -> tuple[AsyncActor | None, list[Finding]]:
    """Return the actor that an object of our kind describes, or all that is wrong with it."""
    actor: AsyncActor | None = None
    found: list[Finding] = []
    try:
        actor = AsyncActor.model_validate(value, by_name=False, by_alias=True, context=RULES_APART)
    except ValidationError as error:
        found = findings(error, value)
    wrong = {finding.path for finding in found}
    found += [Finding(path, sentence) for path, sentence in broken_rules(value) if path not in wrong]
    return actor, found


def stranger(value: Any) -> Finding | str | None:  # noqa: ANN401  any JSON value
    """Return None for ours, words for an object of another kind, a finding for one that was meant to be ours."""
    if not isinstance(value, dict):
        return "no Kubernetes object"
    version, kind = value.get("apiVersion"), value.get("kind")
    if version == API_VERSION and kind == KIND:
        return None
    kind_near = isinstance(kind, str) and _near(kind, KIND)
    version_near = isinstance(version, str) and (version.startswith(GROUP + "/") or _near(version, API_VERSION))
    if kind == KIND:
        return Finding(("apiVersion",), f"expected {API_VERSION}, found {show(version)}", API_VERSION, show(version))
    if version == API_VERSION or kind_near or version_near:
        return Finding(("kind",), f"expected {KIND}, found {show(kind)}", KIND, show(kind))
    if version is None and kind is None and "handler" in mapping(value.get("spec")):
        return Finding(("apiVersion",), f"missing; expected {API_VERSION}, and kind: {KIND}", API_VERSION, "nothing")
    return f"kind {kind} of {version}" if kind and version else "no Kubernetes object"


def _near(text: str, wanted: str) -> bool:
    return difflib.SequenceMatcher(a=text.lower(), b=wanted.lower()).ratio() >= _NEAR


def remarks(actor: AsyncActor) -> Iterator[str]:
    """Yield what is allowed and yet worth a second look."""
    spec = actor.spec
    if "replicas" in spec.model_fields_set and spec.scaling.enabled:
        yield "spec.replicas counts only while spec.scaling.enabled is false"
    grace, timeout = spec.termination_grace_period_seconds, actor.resiliency().actor_timeout
    if grace is not None and grace < timeout:
        short = f"spec.terminationGracePeriodSeconds is {grace} s, shorter than actorTimeout"
        yield f"{short}: long calls are cut and repeated"
