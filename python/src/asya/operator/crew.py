"""The crew: which of its actors belong into which namespace. Pure.

The crew is never removed. It owns what its namespace shares at the broker, and messages may be on their way to it for
as long as the longest delay; it costs nothing while no message comes. People remove it when they know better.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from asya.errors import ManifestError
from asya.operator.events import Event, Regarding
from asya.operator.identity import (
    COMPONENT,
    CREW,
    FIELD_MANAGER,
    MANAGED_BY,
    Manifest,
    actor_name,
    is_applied_by_operator,
    is_leaving,
)

FILE = "actors.yaml"
KIND = "AsyncActor"


def read(config_map: Mapping[str, Any]) -> list[Manifest]:
    """Return the crew's manifests, without namespaces, from the ConfigMap of chart asya-crew.

    Raises:
        ManifestError: It does not hold AsyncActors.
    """
    name = config_map["metadata"]["name"]
    text = (config_map.get("data") or {}).get(FILE)
    if text is None:
        raise ManifestError([f"ConfigMap {name} has no {FILE}; is asya-crew installed in mode `operator`?"])
    try:
        found = [each for each in yaml.safe_load_all(text) if each is not None]
    except yaml.YAMLError as error:
        raise ManifestError([f"{FILE} of ConfigMap {name} is not YAML: {error}"]) from error
    for each in found:
        if not isinstance(each, dict) or each.get("kind") != KIND or not each.get("metadata", {}).get("name"):
            raise ManifestError([f"{FILE} of ConfigMap {name} holds something else than {KIND}s"])
    return found


def wanted(
    crew: Iterable[Mapping[str, Any]], actors: Iterable[Mapping[str, Any]], crew_namespace: str | None
) -> tuple[list[Manifest], list[Event]]:
    """Return the crew's manifests to apply, and what people should know.

    `actors` are all there are, as the API server gives them. Where somebody else made an actor of a crew's name, it is
    left alone. With `crew_namespace`, the crew is there only.
    """
    crew, actors = list(crew), list(actors)
    names = {actor_name(each) for each in crew}
    there = {(each["metadata"]["namespace"], actor_name(each)): each for each in actors}
    working = [each for each in actors if actor_name(each) not in names and not is_leaving(each)]
    namespaces = {each["metadata"]["namespace"] for each in working}
    targets = sorted({crew_namespace} if crew_namespace and namespaces else namespaces)
    manifests: list[Manifest] = []
    events: list[Event] = []
    for namespace in targets:
        near = working if crew_namespace else [each for each in working if each["metadata"]["namespace"] == namespace]
        transport = _transport(near)
        for member in crew:
            present = there.get((namespace, actor_name(member)))
            if present is None or is_applied_by_operator(present):
                manifests.append(_for_namespace(member, namespace, transport, present))
            elif not _is_crew(present, member):
                events.append(Event(Regarding.of(present), "CrewReplaced", _REPLACED.format(actor_name(member))))
    return manifests, events


_REPLACED = (
    "{} is an actor of the platform's crew, and this one takes its place: messages that end in this namespace come "
    "here. Rename it unless that is what you want."
)


def _is_crew(present: Mapping[str, Any], member: Mapping[str, Any]) -> bool:
    """Tell whether people applied the platform's own actor themselves: it says so, or has its handler."""
    labelled = present["metadata"].get("labels", {}).get(COMPONENT) == CREW
    return bool(labelled or present["spec"].get("handler") == member["spec"].get("handler", ""))


def _for_namespace(
    member: Mapping[str, Any], namespace: str, transport: str | None, present: Mapping[str, Any] | None
) -> Manifest:
    manifest: Manifest = copy.deepcopy(dict(member))
    metadata = manifest["metadata"]
    metadata["namespace"] = namespace
    metadata["labels"] = {**metadata.get("labels", {}), COMPONENT: CREW, MANAGED_BY: FIELD_MANAGER}
    if transport is None and present is not None:
        transport = present["spec"].get("transport")
    if transport is not None:
        manifest["spec"].setdefault("transport", transport)
    return manifest


def _transport(actors: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the broker on which a namespace's actors agree by name; None for the platform's, or while they differ."""
    found = {each["spec"].get("transport") for each in actors}
    return found.pop() if len(found) == 1 else None
