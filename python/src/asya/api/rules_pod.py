"""Rules about the actor's pod: variables, containers, volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asya.api.crossrule import Broken, CrossRule, at, collect, entries, field_of_each, is_crew, mapping, twice
from asya.api.paths import Path

RESERVED_ENV = "ASYA_"
RESERVED_NAME = "asya-"

SIDECAR_FIELDS = {
    "ASYA_ACTOR_NAME": "spec.actor",
    "ASYA_NAMESPACE": "metadata.namespace",
    "ASYA_TRANSPORT": "spec.transport",
    "ASYA_CONCURRENCY": "spec.sidecar.concurrency",
    "ASYA_PREFETCH": "spec.sidecar.prefetch",
    "ASYA_RESILIENCY_ACTOR_TIMEOUT": "spec.resiliency.actorTimeout",
    "ASYA_RESILIENCY_POLICIES": "spec.resiliency.policies",
    "ASYA_RESILIENCY_RULES": "spec.resiliency.rules",
    "ASYA_RESILIENCY_NON_RETRYABLE": "spec.resiliency.nonRetryableErrors",
    "ASYA_RESILIENCY_PROTECTION": "spec.resiliency.rateLimit and circuitBreaker",
    "ASYA_RESILIENCY_DESTINATIONS": "spec.resiliency.destinations",
}
"""Variables of the sidecar that a field of the manifest sets."""
SIDECAR_PLATFORM = (
    "ASYA_SOCKET_DIR",
    "ASYA_SOCKET_MODE",
    "ASYA_ACTOR_SINK",
    "ASYA_ACTOR_SUMP",
    "ASYA_QUEUE_NAMES",
    "ASYA_HEALTH_ADDR",
    "ASYA_METRICS_ADDR",
)
"""Variables of the sidecar that only the platform sets."""
CONNECTOR_PLATFORM = "CONNECTOR_SOCKET"
"""Variable of a state connector that only the platform sets."""
PLATFORM_FOLDERS = ("/opt/asya", "/var/run/asya", "/run/asya")
"""Where runtime and socket are; in most images /var/run is a link to /run."""

_PLATFORM_ONLY = "is reserved: only the platform sets it"

RULES: list[CrossRule] = []
rule = collect(RULES)


def _lists_of_variables(document: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield (container, path) of every `env` list."""
    yield "handler", ("spec", "env")
    yield "sidecar", ("spec", "sidecar", "env")
    for path, _ in entries(document, "spec", "stateProxy"):
        yield "connector", (*path, "connector", "env")


@rule("A variable is given once, and is none of the platform's.")
def _variables(document: Mapping[str, Any]) -> Broken:
    for container, path in _lists_of_variables(document):
        names = field_of_each(document, path, "name")
        if container == "handler":
            for ref, _ in entries(document, "spec", "secretRefs"):
                names += field_of_each(document, (*ref, "keys"), "envVar")
        yield from twice(names, "variable")
        for place, name in names:
            if why := _reserved(name, container, document):
                yield place, f"{name!r} {why}"


def _reserved(name: str, container: str, document: Mapping[str, Any]) -> str | None:
    """Say why a name may not be used, None when it may."""
    if container == "connector" and name == CONNECTOR_PLATFORM:
        return _PLATFORM_ONLY
    if not name.startswith(RESERVED_ENV) or (container == "handler" and is_crew(document)):
        return None
    if container != "sidecar":
        return f"is reserved: names that begin with {RESERVED_ENV} belong to the platform"
    plain = name.removesuffix("_FILE")
    if plain in SIDECAR_FIELDS:
        return f"has a field of its own: {SIDECAR_FIELDS[plain]}"
    return _PLATFORM_ONLY if plain in SIDECAR_PLATFORM else None


@rule("A variable has a value or a reference, an envFrom entry one of Secret and ConfigMap.")
def _sources(document: Mapping[str, Any]) -> Broken:
    for _, path in _lists_of_variables(document):
        for place, entry in entries(document, *path):
            if {"value", "valueFrom"} <= mapping(entry).keys():
                yield (*place, "valueFrom"), "expected either value or valueFrom, found both"
    for place, entry in entries(document, "spec", "envFrom"):
        if isinstance(entry, Mapping) and len({"secretRef", "configMapRef"} & entry.keys()) != 1:
            yield place, "expected exactly one of secretRef and configMapRef"


@rule("Containers, volumes, state and ports have names of their own; those that begin with asya- are the platform's.")
def _unique_names(document: Mapping[str, Any]) -> Broken:
    containers = [
        item for kind in ("initContainers", "sidecars") for item in field_of_each(document, ("spec", kind), "name")
    ]
    volumes = field_of_each(document, ("spec", "volumes"), "name")
    yield from twice(containers, "container")
    yield from twice(volumes, "volume")
    yield from twice(field_of_each(document, ("spec", "stateProxy"), "name"), "state")
    ports = field_of_each(document, ("spec", "ports"), "name")
    yield from twice(ports, "port")
    for path, name in containers + volumes + ports:
        if name.startswith(RESERVED_NAME):
            yield path, f"{name!r} is reserved: names that begin with {RESERVED_NAME} belong to the platform"


@rule("A mount names a volume that exists, and nothing else is mounted at its path, which is none of the platform's.")
def _mounts(document: Mapping[str, Any]) -> Broken:
    paths = field_of_each(document, ("spec", "volumeMounts"), "mountPath")
    for place, proxy in entries(document, "spec", "stateProxy"):
        path = at(mapping(proxy), "mount").get("path")
        if isinstance(path, str):
            paths.append(((*place, "mount", "path"), path))
    yield from twice(paths, "mount path")
    for place, path in paths:
        if any(f"{path}/".startswith(f"{folder}/") for folder in PLATFORM_FOLDERS):
            yield place, f"{path!r} is reserved: the platform mounts folders of its own there"
    volumes = {name for _, name in field_of_each(document, ("spec", "volumes"), "name")}
    for place, name in field_of_each(document, ("spec", "volumeMounts"), "name"):
        if name not in volumes and not at(document, "spec").get("flavors"):
            yield place, f"no volume is called {name!r}; volumes: {', '.join(sorted(volumes)) or 'none'}"


@rule("minDomains of a spread constraint counts only with DoNotSchedule.")
def _domains(document: Mapping[str, Any]) -> Broken:
    for place, entry in entries(document, "spec", "topologySpreadConstraints"):
        constraint = mapping(entry)
        if "minDomains" in constraint and constraint.get("whenUnsatisfiable") == "ScheduleAnyway":
            yield (*place, "minDomains"), "counts only with whenUnsatisfiable: DoNotSchedule"


@rule("A disruption budget says either how many pods stay or how many go.")
def _budget(document: Mapping[str, Any]) -> Broken:
    path = ("spec", "podDisruptionBudget")
    budget = at(document, "spec").get("podDisruptionBudget")
    if isinstance(budget, Mapping) and len({"minAvailable", "maxUnavailable"} & budget.keys()) != 1:
        yield path, "expected exactly one of minAvailable and maxUnavailable"


@rule("command takes the place of pythonExecutable; Recreate has no rolling update.")
def _exclusive(document: Mapping[str, Any]) -> Broken:
    spec = at(document, "spec")
    if spec.get("command") and "pythonExecutable" in spec:
        yield ("spec", "pythonExecutable"), "counts only without command; give one of the two"
    strategy = at(spec, "strategy")
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        yield ("spec", "strategy", "rollingUpdate"), "counts only with type RollingUpdate"
