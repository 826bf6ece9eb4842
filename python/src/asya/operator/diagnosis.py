"""From Pods to Events on their actors: one for each cause, in words for people who do not know Kubernetes. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime
from typing import Any

from asya.operator.events import Event, Regarding
from asya.operator.identity import ACTOR, actor_name, is_leaving
from asya.operator.pods import troubles
from asya.operator.wording import Case, quoted

_WORKLOAD = "WorkloadReady"


def is_unready(actor: Mapping[str, Any]) -> bool:
    """Tell whether its Pods are worth a look: they are not all there, or nobody has said yet that they are."""
    status = actor.get("status") or {}
    if is_leaving(actor):
        return False
    return _workload(actor).get("status") != "True" or status.get("readyReplicas", 0) < status.get("replicas", 0)


def diagnose(
    actors: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]], now: datetime
) -> dict[Hashable, Event]:
    """Return an event for each cause, by actor and cause; of several Pods with the same cause the newest speaks."""
    known = {(each["metadata"]["namespace"], actor_name(each)): each for each in actors if not is_leaving(each)}
    newest: dict[tuple[str, str], tuple[str, Event]] = {}
    for pod in pods:
        metadata = pod["metadata"]
        actor = known.get((metadata["namespace"], (metadata.get("labels") or {}).get(ACTOR, "")))
        if actor is None:
            continue
        made = metadata.get("creationTimestamp", "")
        for trouble in troubles(pod, now):
            cause = f"{trouble.kind}.{trouble.container}"
            key = (actor["metadata"]["uid"], cause)
            if key not in newest or newest[key][0] <= made:
                newest[key] = (made, _event(actor, cause, *Case.of(actor, trouble).words()))
    found: dict[Hashable, Event] = {key: event for key, (_, event) in newest.items()}
    for actor in known.values():
        if refusal := _refusal(actor):
            found[actor["metadata"]["uid"], "refused"] = _event(actor, "refused", "PodsRefused", refusal)
    return found


def _event(actor: Mapping[str, Any], cause: str, reason: str, message: str) -> Event:
    metadata = actor["metadata"]
    digest = hashlib.sha256(f"{metadata['uid']}/{cause}".encode()).hexdigest()[:12]
    return Event(Regarding.of(actor), reason, message, name=f"{metadata['name'][:50].rstrip('-.')}.{digest}")


def _workload(actor: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = (actor.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == _WORKLOAD), {})


def _refusal(actor: Mapping[str, Any]) -> str:
    """Say why no Pod can be made at all: the composition has it from the Deployment's condition ReplicaFailure."""
    said = _workload(actor).get("message", "")
    if _workload(actor).get("status") != "False" or "is forbidden" not in said:
        return ""
    said = quoted(re.sub(r'^Deployment: pods "[^"]*" is ', "Pods are ", said))
    if "exceeded quota" in said:
        cure = "Ask for less in spec.resources, or have the namespace's quota raised."
    elif "PodSecurity" in said:
        cure = "Change what it names in spec.securityContext, podSecurityContext, volumes or sidecars."
    else:
        cure = "Change what it names, or ask whoever made that rule for this namespace."
    return f"The cluster refuses to make Pods. {said} {cure}"
