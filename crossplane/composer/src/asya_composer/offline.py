"""The function without Crossplane: one composite in, what it would compose out. For `asya render` and its likes.

Crossplane calls the function again with the objects that it asks for; so is done here, with whatever stands for the
cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from crossplane.function.proto.v1 import run_function_pb2 as fnv1

from asya_composer.compose import Composition
from asya_composer.conditions import FLAVOR_MISSING, REFUSED
from asya_composer.errors import CompositionError
from asya_composer.function import answered
from asya_composer.kinds import COMPOSED, READ
from asya_composer.model import Condition, Manifest
from asya_composer.settings import API_VERSION, KIND
from asya_composer.structs import plain, to_struct

ROUNDS = 5
"""How often Crossplane calls a function again for what it asks for."""
KEY = "crossplane.io/composition-resource-name"
"""Annotation by which Crossplane knows a composed object again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Objects that the function asks for.

    Attributes:
        resource: Plural, version and group, as kubectl takes them: `deployments.v1.apps`, `configmaps.v1.`.
        api_version: As objects write it.
        kind: As objects write it.
        name: The one that is meant; None for all that fit.
        labels: Labels that they have.
        namespace: Where they are; empty for all namespaces, and for kinds that are in none.
    """

    resource: str
    api_version: str
    kind: str
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""

    def fits(self, manifest: Manifest) -> bool:
        """Tell whether an object is one of them."""
        metadata = manifest.get("metadata") or {}
        labels = metadata.get("labels") or {}
        return (
            (manifest.get("apiVersion"), manifest.get("kind")) == (self.api_version, self.kind)
            and self.name in (None, metadata.get("name"))
            and self.namespace in ("", metadata.get("namespace", ""))
            and all(labels.get(name) == value for name, value in self.labels.items())
        )


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the function said, and would compose, later too. `refused` is why nothing may be changed, else empty."""

    resources: Mapping[str, Manifest]
    status: Manifest
    conditions: tuple[Condition, ...]
    refused: str = ""


def settings_of(composition: Manifest) -> Manifest:
    """Return the input of the function's step in a Composition.

    Raises:
        CompositionError: No step has it.
    """
    for step in (composition.get("spec") or {}).get("pipeline") or ():
        given = step.get("input") or {}
        if (given.get("apiVersion"), given.get("kind")) == (API_VERSION, KIND):
            return dict(given)
    raise CompositionError("composition", f"no step of spec.pipeline has an input of {API_VERSION}, kind {KIND}")


def render(
    composite: Manifest,
    settings: Manifest,
    find: Callable[[Wanted], Iterable[Manifest]],
    observed: Mapping[str, Manifest],
) -> Rendered:
    """Return what is composed of one actor; `find` gives what is asked for of the cluster, `observed` what exists.

    Raises:
        CompositionError: It asks for something else each time, which Crossplane would not go along with either.
    """
    request = fnv1.RunFunctionRequest()
    request.observed.composite.resource.CopyFrom(to_struct(composite))
    request.input.CopyFrom(to_struct(settings))
    for key, manifest in observed.items():
        request.observed.resources[key].resource.CopyFrom(to_struct(manifest))
    asked: dict[str, bytes] | None = None
    for _ in range(ROUNDS):
        answer, composition = answered(request)
        selectors = answer.requirements.resources
        now = {name: selectors[name].SerializeToString(deterministic=True) for name in selectors}
        if now == asked or (answer.results and answer.results[0].severity == fnv1.SEVERITY_FATAL and not now):
            return _rendered(answer, composition)
        asked = now
        request.ClearField("required_resources")
        for name in selectors:
            items = request.required_resources[name].items
            for manifest in find(_wanted(selectors[name])):
                items.add().resource.CopyFrom(to_struct(manifest))
    raise CompositionError("requirements", f"something else is asked for each of {ROUNDS} times")


def _wanted(selector: fnv1.ResourceSelector) -> Wanted:
    kind = next(
        each for each in (*READ, *COMPOSED) if (each.api_version, each.kind) == (selector.api_version, selector.kind)
    )
    return Wanted(
        f"{kind.plural}.{kind.version}.{kind.group}",
        selector.api_version,
        selector.kind,
        selector.match_name if selector.HasField("match_name") else None,
        dict(selector.match_labels.labels),
        selector.namespace,
    )


def _rendered(answer: fnv1.RunFunctionResponse, composition: Composition) -> Rendered:
    found = {key: plain(each.resource) for key, each in answer.desired.resources.items()}
    found |= {key: each.manifest for key, each in composition.later.items()}
    fatal = [each.message for each in answer.results if each.severity == fnv1.SEVERITY_FATAL]
    return Rendered(
        {key: found[key] for key in sorted(found)},
        plain(answer.desired.composite.resource).get("status") or {},
        tuple(
            Condition(each.type, fnv1.Status.Name(each.status).rpartition("_")[2].title(), each.reason, each.message)
            for each in answer.conditions
        ),
        "; ".join(fatal)
        or next((each.message for each in answer.conditions if each.reason in (REFUSED, FLAVOR_MISSING)), ""),
    )
