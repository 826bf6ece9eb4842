"""Rules about lists that Kubernetes keeps by a key.

One key twice in what is composed makes the API server fail, which says nothing to the actor's owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asya.api.crossrule import Broken, CrossRule, collect, entries, field_of_each, mapping, twice
from asya.api.paths import Path

SIDECAR_PORT = 8081
TAKEN_PORT = f"{SIDECAR_PORT}/TCP is the sidecar's, which serves health and metrics there"

RULES: list[CrossRule] = []
rule = collect(RULES)


@rule("A port is given once, and is not the sidecar's.")
def _ports(document: Mapping[str, Any]) -> Broken:
    ports = _numbers(document, ("spec", "ports"))
    yield from twice(ports, "port")
    for place, port in ports:
        if port == f"{SIDECAR_PORT}/TCP":
            yield place, TAKEN_PORT


@rule("An address has one line of hostAliases.")
def _host_aliases(document: Mapping[str, Any]) -> Broken:
    yield from twice(field_of_each(document, ("spec", "hostAliases"), "ip"), "address")


@rule("Spread constraints differ in topologyKey or whenUnsatisfiable.")
def _spread(document: Mapping[str, Any]) -> Broken:
    constraints = [
        ((*place, "topologyKey"), mapping(entry))
        for place, entry in entries(document, "spec", "topologySpreadConstraints")
    ]
    keys = [(place, f"{each.get('topologyKey')} {each.get('whenUnsatisfiable')}") for place, each in constraints]
    yield from twice(keys, "constraint")


@rule("Containers of yours have each variable, mount, device, claim and port once.")
def _containers(document: Mapping[str, Any]) -> Broken:
    for kind in ("initContainers", "sidecars"):
        for place, _ in entries(document, "spec", kind):
            yield from twice(field_of_each(document, (*place, "env"), "name"), "variable")
            yield from twice(field_of_each(document, (*place, "volumeMounts"), "mountPath"), "mount path")
            yield from twice(field_of_each(document, (*place, "volumeDevices"), "devicePath"), "device path")
            yield from twice(field_of_each(document, (*place, "resources", "claims"), "name"), "claim")
            yield from twice(_numbers(document, (*place, "ports")), "port")


def _numbers(document: Mapping[str, Any], path: Path) -> list[tuple[Path, str]]:
    """Return (path, number/protocol) of each port in the list at `path`."""
    ports = [((*place, "containerPort"), mapping(entry)) for place, entry in entries(document, *path)]
    return [
        (place, f"{port['containerPort']}/{port.get('protocol', 'TCP')}")
        for place, port in ports
        if isinstance(port.get("containerPort"), int)
    ]
