"""The registry of actors: from the actors to its ConfigMaps. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from asya.api.registry import DESCRIPTION, EXPOSE, FILE, INPUT_SCHEMA, NAME, Door, Health, RegisteredActor, Registry
from asya.operator.events import Event, Regarding
from asya.operator.identity import (
    COMPONENT,
    CREW,
    FIELD_MANAGER,
    MANAGED_BY,
    PART_OF,
    Manifest,
    actor_name,
    is_leaving,
)

MOST_BYTES = 900_000
"""A ConfigMap holds 1 MiB, its metadata included."""


def registries(
    actors: Iterable[Mapping[str, Any]],
    *,
    platform: str,
    emptied: Iterable[str] = (),
    deployment: Mapping[str, Any] | None = None,
) -> tuple[list[Manifest], list[Event]]:
    """Return a ConfigMap per namespace and the one of all in namespace `platform`, and what people should know.

    `emptied` are namespaces that had a registry before; with no actor left, theirs becomes empty. Where all schemas
    together are too much for one object, the one of all goes without them; they are in the namespaces' own.

    With `deployment`, the operator's own as the API server gives it, the one of all is deleted when that is.
    """
    entries: list[RegisteredActor] = []
    events: list[Event] = []
    for actor in actors:
        if not is_leaving(actor):
            entry, problems = _entry(actor)
            entries.append(entry)
            events += [Event(Regarding.of(actor), "AnnotationIgnored", problem) for problem in problems]
    entries.sort(key=lambda entry: (entry.namespace, entry.name))
    found = [
        _config_map(namespace, [entry for entry in entries if entry.namespace == namespace])
        for namespace in sorted({entry.namespace for entry in entries} | set(emptied))
        if namespace != platform
    ]
    of_all = _config_map(platform, entries)
    if deployment is not None:
        of_all["metadata"]["ownerReferences"] = [_owned_by(deployment)]
    return [*found, of_all], events


def namespaces(registry: Registry) -> set[str]:
    """Return the namespaces that have actors in it."""
    return {entry.namespace for entry in registry.actors}


def _config_map(namespace: str, entries: Iterable[RegisteredActor]) -> Manifest:
    entries = list(entries)
    text = _text(entries)
    if len(text.encode()) > MOST_BYTES:
        text = _text([entry.model_copy(update={"input_schema": None}) for entry in entries])
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "labels": {MANAGED_BY: FIELD_MANAGER, PART_OF: "asya", COMPONENT: "registry"},
        },
        "data": {FILE: text},
    }


def _owned_by(deployment: Mapping[str, Any]) -> Manifest:
    """See the Kubernetes API's OwnerReference; it does not keep its owner from being deleted first."""
    metadata = deployment["metadata"]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"]}


def _text(entries: list[RegisteredActor]) -> str:
    return Registry(actors=entries).model_dump_json(exclude_none=True)


def _entry(actor: Mapping[str, Any]) -> tuple[RegisteredActor, list[str]]:
    metadata, status = actor["metadata"], actor.get("status") or {}
    annotations = metadata.get("annotations") or {}
    problems: list[str] = []
    doors = [door.strip() for door in annotations.get(EXPOSE, "").split(",") if door.strip()]
    known = [door for door in get_args(Door) if door in doors]
    if strangers := sorted(set(doors) - set(known)):
        problems.append(f"{EXPOSE} names {', '.join(strangers)}; expected some of {', '.join(get_args(Door))}.")
    entry = RegisteredActor(
        name=actor_name(actor),
        namespace=metadata["namespace"],
        transport=status.get("transport") or actor["spec"].get("transport"),
        queue=status.get("queueIdentifier", ""),
        queue_url=status.get("queueUrl"),
        crew=(metadata.get("labels") or {}).get(COMPONENT) == CREW,
        description=annotations.get(DESCRIPTION, ""),
        input_schema=_schema(annotations.get(INPUT_SCHEMA), problems),
        expose=known,
        health=_health(status),
    )
    return entry, problems


def _schema(text: str | None, problems: list[str]) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        schema = json.loads(text)
    except ValueError as error:
        problems.append(f"{INPUT_SCHEMA} is not JSON: {error}.")
        return None
    if not isinstance(schema, dict):
        problems.append(f"{INPUT_SCHEMA} is no JSON object; expected a JSON Schema.")
        return None
    return schema


def _health(status: Mapping[str, Any]) -> Health:
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    return Health(
        ready=ready.get("status") == "True",
        phase=status.get("phase", "Creating"),
        message=status.get("message") or ready.get("message") or "",
    )
