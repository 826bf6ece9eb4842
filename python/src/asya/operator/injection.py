"""Putting a sidecar and a stock handler into somebody else's Pod. Pure: the Pod in, the Pod out.

What is put in is composed with the actor (ConfigMap with the key ``pod.json``); the owner's containers, and whether the
Pod counts as ready for the owner's Services, stay as they are.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asya.errors import PolicyError
from asya.operator import stock
from asya.operator.identity import INJECTED, Manifest
from asya.policy import parse_duration

FILE = "pod.json"
RUNTIME = "asya-runtime"
HANDLER = "asya.operator.stock.Workload.handle"
_RUNTIME_FILE = "asya_runtime.py"
_TIMEOUT, _DRAIN, _SOCKETS = "ASYA_RESILIENCY_ACTOR_TIMEOUT", "ASYA_DRAIN_TIMEOUT", "ASYA_SOCKET_DIR"
_DEFAULT_GRACE_SECONDS = 30
"""Kubernetes' own terminationGracePeriodSeconds."""


class InjectionRefusedError(Exception):
    """The Pod cannot get this sidecar; the text tells its owner why."""


@dataclass(frozen=True, slots=True)
class Injected:
    """The Pod with its sidecar, and what its owner should know."""

    pod: Manifest
    warnings: tuple[str, ...] = ()


def inject(pod: Mapping[str, Any], actor: str, composed: Mapping[str, Any]) -> Injected:
    """Return `pod` with the sidecar of `actor`; unchanged when it has it.

    `composed` is the content of ``pod.json``: `labels`, `initContainers`, `volumes`, `runtimeEnv`, `workload`.

    Raises:
        InjectionRefusedError: It belongs to another workload, or a name that is needed is taken.
    """
    annotations = pod["metadata"].get("annotations") or {}
    if annotations.get(INJECTED) == actor:
        return Injected(dict(pod))
    _check_owner(pod, actor, composed["workload"])
    changed: Manifest = copy.deepcopy(dict(pod))
    metadata, spec = changed["metadata"], changed["spec"]
    labels = metadata.get("labels") or {}
    for key, value in composed["labels"].items():
        if labels.get(key, value) != value:
            raise InjectionRefusedError(
                f"label {key} is {labels[key]!r}; actor {actor!r} needs {value!r} there: take the label out of the Pod"
            )
    metadata["labels"] = {**labels, **composed["labels"]}
    metadata["annotations"] = {**annotations, INJECTED: actor}
    sidecars = [_without_readiness(each) for each in composed["initContainers"]]
    runtime = _runtime(composed)
    taken = [*(spec.get("initContainers") or ()), *spec["containers"]]
    _refuse_taken("container", taken, [*sidecars, runtime])
    _refuse_taken("volume", spec.get("volumes") or (), composed["volumes"])
    # Last of the init containers: they may take long, and the sidecar has nothing to do before the handler is there.
    spec["initContainers"] = [*(spec.get("initContainers") or ()), *sidecars]
    spec["containers"] = [*spec["containers"], runtime]
    spec["volumes"] = [*(spec.get("volumes") or ()), *composed["volumes"]]
    return Injected(changed, tuple(_warnings(spec, sidecars[0])))


def read(config_map: Mapping[str, Any]) -> Manifest:
    """Return what is to be put in, from the ConfigMap composed with the actor.

    Raises:
        InjectionRefusedError: It does not hold that.
    """
    try:
        composed: Manifest = json.loads(config_map["data"][FILE])
    except (KeyError, TypeError, ValueError) as error:
        name = config_map["metadata"]["name"]
        raise InjectionRefusedError(f"ConfigMap {name} has no {FILE} that can be read: {error!r}") from error
    return composed


def _check_owner(pod: Mapping[str, Any], actor: str, workload: Mapping[str, Any]) -> None:
    owners = pod["metadata"].get("ownerReferences") or ()
    owner = next((each for each in owners if each.get("controller")), None)
    kind, name = workload["kind"], workload["name"]
    if owner is not None:
        # A Deployment's Pods belong to its ReplicaSets, which are called after it and a hash.
        if kind == "Deployment":
            fits = owner["kind"] == "ReplicaSet" and owner["name"].rpartition("-")[0] == name
        else:
            fits = owner["kind"] == kind and owner["name"] == name
        if fits:
            return
    found = "no workload" if owner is None else f"{owner['kind']} {owner['name']}"
    raise InjectionRefusedError(
        f"actor {actor!r} is bound to {kind} {name}, but this Pod belongs to {found}: "
        "correct the actor's workloadRef, or the Pod's label asya.sh/inject"
    )


def _runtime(composed: Mapping[str, Any]) -> Manifest:
    """Return the stock handler's container: the sidecar's own image, which has Python and the handlers."""
    sidecar, workload = composed["initContainers"][0], composed["workload"]
    environment = {each["name"]: each.get("value") for each in sidecar["env"]}
    call = {
        "port": workload["port"],
        "protocol": workload["protocol"],
        "path": workload["path"],
        "health_path": workload.get("healthPath"),
        "timeout": _seconds(environment.get(_TIMEOUT)),
    }
    own = {"ASYA_HANDLER": HANDLER, stock.VARIABLE: json.dumps(call)}
    mounts = {each["name"]: each["mountPath"] for each in sidecar["volumeMounts"]}
    sockets = environment[_SOCKETS]
    folder = mounts[RUNTIME]
    volume = next(name for name, path in mounts.items() if path == sockets)
    found = {
        "name": RUNTIME,
        "image": sidecar["image"],
        "imagePullPolicy": sidecar.get("imagePullPolicy"),
        "command": ["python3", f"{folder}/{_RUNTIME_FILE}"],
        "env": [
            *(each for each in composed["runtimeEnv"] if each["name"] not in own),
            *({"name": name, "value": value} for name, value in own.items()),
        ],
        "resources": sidecar.get("resources"),
        "securityContext": sidecar.get("securityContext"),
        "volumeMounts": [
            {"name": volume, "mountPath": sockets},
            {"name": RUNTIME, "mountPath": folder, "readOnly": True},
        ],
    }
    return {key: value for key, value in found.items() if value is not None}


def _without_readiness(sidecar: Mapping[str, Any]) -> Manifest:
    # A broker that is away must not take the owner's Pod out of the owner's Services.
    return {key: value for key, value in sidecar.items() if key != "readinessProbe"}


def _refuse_taken(what: str, there: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]]) -> None:
    names = {each["name"] for each in there}
    for each in wanted:
        if each["name"] in names:
            raise InjectionRefusedError(f"the Pod has a {what} {each['name']!r}; names that begin with asya- are ours")


def _warnings(spec: Mapping[str, Any], sidecar: Mapping[str, Any]) -> Iterable[str]:
    grace = spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS)
    drain = _seconds(next((each.get("value") for each in sidecar["env"] if each["name"] == _DRAIN), None))
    if drain is not None and drain > grace:
        yield (
            f"terminationGracePeriodSeconds is {grace}, but a call of this actor may take {drain:g} s: "
            "a Pod that stops may cut a call, which then runs again elsewhere"
        )


def _seconds(text: str | None) -> float | None:
    try:
        return None if not text else float(parse_duration(text))
    except PolicyError as error:
        raise InjectionRefusedError(f"{text!r} in {FILE} is no duration") from error
