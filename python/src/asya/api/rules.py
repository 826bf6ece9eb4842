"""Rules across fields.

They look at the manifest as it was written and step over whatever has a wrong type there (the models tell that), so a
broken rule is told together with all other problems. A path is that of the field to change: ``spec.env[1].name``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asya.errors import PolicyError
from asya.policy import format_duration, parse_duration
from asya.policy.resiliency import DEFAULT_FIRST_DELAY, DEFAULT_MAX_INTERVAL

TERMINAL_ACTORS = ("x-sink", "x-sump")
CREW = (*TERMINAL_ACTORS, "x-pause", "x-resume", "x-join")
CREW_LABEL = "asya.sh/crew"
RESERVED_ENV = "ASYA_"
RESERVED_NAME = "asya-"
DEAD_LETTERS = "-dlq"

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
}
"""Variables of the sidecar that a field of the manifest sets."""
SIDECAR_PLATFORM = ("ASYA_SOCKET_DIR", "ASYA_SOCKET_MODE", "ASYA_ACTOR_SINK", "ASYA_ACTOR_SUMP", "ASYA_QUEUE_NAMES")
"""Variables of the sidecar that only the platform sets."""

Broken = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class CrossRule:
    """One rule: what it asks in a sentence, and the check that yields (path, what is wrong)."""

    doc: str
    check: Callable[[Mapping[str, Any]], Broken]


RULES: list[CrossRule] = []


def broken_rules(manifest: object) -> list[tuple[str, str]]:
    """Return (path, sentence) of every rule that `manifest` breaks; it may be any JSON value."""
    document = _mapping(manifest)
    return [found for rule in RULES for found in rule.check(document)]


def _rule(doc: str) -> Callable[[Callable[[Mapping[str, Any]], Broken]], Callable[[Mapping[str, Any]], Broken]]:
    def note(check: Callable[[Mapping[str, Any]], Broken]) -> Callable[[Mapping[str, Any]], Broken]:
        RULES.append(CrossRule(doc, check))
        return check

    return note


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _at(document: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for name in path:
        document = _mapping(document.get(name))
    return document


def _items(parent: Mapping[str, Any], name: str) -> list[tuple[int, Any]]:
    value = parent.get(name)
    return list(enumerate(value)) if isinstance(value, list) else []


def _number(parent: Mapping[str, Any], name: str, default: int) -> int | None:
    value = parent.get(name, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _seconds(value: object) -> float | None:
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except PolicyError:
        return None


def _texts(parent: Mapping[str, Any], name: str) -> list[tuple[int, str]]:
    return [(index, value) for index, value in _items(parent, name) if isinstance(value, str)]


def _field_of_each(parent: Mapping[str, Any], name: str, path: str, field: str) -> list[tuple[str, str]]:
    """Return (path, value) of the text field `field` of each entry of the list `name`."""
    found = [(index, _mapping(entry).get(field)) for index, entry in _items(parent, name)]
    return [(f"{path}.{name}[{index}].{field}", value) for index, value in found if isinstance(value, str)]


def _twice(values: list[tuple[str, str]], what: str) -> Broken:
    first: dict[str, str] = {}
    for path, value in values:
        if value in first:
            yield path, f"{what} {value!r} is given twice; first at {first[value]}"
        first.setdefault(value, path)


def _environments(document: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield (container, [(path, variable)]) of every container whose variables a manifest can set."""
    spec = _at(document, "spec")
    own = _field_of_each(spec, "env", "spec", "name")
    for index, ref in _items(spec, "secretRefs"):
        own += _field_of_each(_mapping(ref), "keys", f"spec.secretRefs[{index}]", "envVar")
    yield "handler", own
    yield "sidecar", _field_of_each(_at(spec, "sidecar"), "env", "spec.sidecar", "name")
    for index, proxy in _items(spec, "stateProxy"):
        connector = _at(_mapping(proxy), "connector")
        yield "connector", _field_of_each(connector, "env", f"spec.stateProxy[{index}].connector", "name")


def _is_crew(document: Mapping[str, Any]) -> bool:
    return _at(document, "metadata", "labels").get(CREW_LABEL) == "true"


@_rule("An actor is called neither like the platform's crew (unless it carries the label asya.sh/crew) nor like a DLQ.")
def _names(document: Mapping[str, Any]) -> Broken:
    spec, metadata = _at(document, "spec"), _at(document, "metadata")
    path, name = ("spec.actor", spec["actor"]) if "actor" in spec else ("metadata.name", metadata.get("name"))
    if not isinstance(name, str):
        return
    if name in CREW and not _is_crew(document):
        yield path, f"{name!r} is reserved for the platform's own actors ({', '.join(CREW)}); choose another name"
    if name.endswith(DEAD_LETTERS):
        yield path, f"{name!r} ends in {DEAD_LETTERS}, which is how dead-letter queues are called; choose another name"


@_rule("Image and handler are given, unless flavors are named that may bring them.")
def _image_and_handler(document: Mapping[str, Any]) -> Broken:
    spec = document.get("spec")
    if not isinstance(spec, Mapping) or spec.get("flavors"):
        return
    if spec.get("image") is None:
        yield "spec.image", "missing; expected an image such as my-model:1.4"
    if spec.get("handler") is None:
        yield "spec.handler", "missing; expected module.function or module.Class.method"


@_rule("minReplicaCount is not above maxReplicaCount; idleReplicaCount is below minReplicaCount.")
def _replicas(document: Mapping[str, Any]) -> Broken:
    scaling = _at(document, "spec", "scaling")
    fewest, most = _number(scaling, "minReplicaCount", 0), _number(scaling, "maxReplicaCount", 10)
    if fewest is not None and most is not None and fewest > most >= 1:
        default = "" if "maxReplicaCount" in scaling else " (its default)"
        yield (
            "spec.scaling.minReplicaCount",
            f"expected at most maxReplicaCount, which is {most}{default}, found {fewest}",
        )
    if scaling.get("idleReplicaCount") == 0 and fewest == 0:
        yield (
            "spec.scaling.idleReplicaCount",
            "expected a minReplicaCount above 0 beside it; with 0 the actor goes to zero anyway",
        )


@_rule("A formula has a target; target, activationTarget and metricType have a formula.")
def _formula(document: Mapping[str, Any]) -> Broken:
    path, advanced = "spec.scaling.advanced", _at(document, "spec", "scaling", "advanced")
    if "formula" in advanced and "target" not in advanced:
        yield f"{path}.formula", "needs target beside it, the value of the formula per replica"
    for name in ("target", "activationTarget", "metricType"):
        if name in advanced and "formula" not in advanced:
            yield f"{path}.{name}", "counts only with a formula, and there is none"
    for name in ("target", "activationTarget"):
        if isinstance(advanced.get(name), str) and not advanced[name].replace(".", "", 1).isdigit():
            yield f"{path}.{name}", f'expected a number as text, such as "5", found "{advanced[name]}"'


@_rule("Additional triggers have names of their own, and none is called queue.")
def _triggers(document: Mapping[str, Any]) -> Broken:
    named = _field_of_each(_at(document, "spec", "scaling"), "additionalTriggers", "spec.scaling", "name")
    yield from _twice(named, "trigger")
    for path, name in named:
        if name == "queue":
            yield path, "'queue' is the name of our own trigger; choose another name"


@_rule("The first delay has one spelling, and is not above the cap.")
def _delays(document: Mapping[str, Any]) -> Broken:
    for name, value in _at(document, "spec", "resiliency", "policies").items():
        path, policy = f"spec.resiliency.policies.{name}", _mapping(value)
        if policy.get("initialDelay") is not None and policy.get("initialInterval") is not None:
            yield f"{path}.initialInterval", "is another spelling of initialDelay; give only one of the two"
        spelling = "initialInterval" if policy.get("initialInterval") is not None else "initialDelay"
        first = _seconds(policy.get(spelling) or format_duration(DEFAULT_FIRST_DELAY))
        cap = _seconds(policy.get("maxInterval", format_duration(DEFAULT_MAX_INTERVAL)))
        if first is not None and cap is not None and first > cap:
            at = spelling if policy.get(spelling) is not None else "maxInterval"
            yield (
                f"{path}.{at}",
                f"the first delay, {format_duration(first)}, is longer than maxInterval, {format_duration(cap)}",
            )


@_rule("A rule names a policy that exists.")
def _policies(document: Mapping[str, Any]) -> Broken:
    resiliency = _at(document, "spec", "resiliency")
    policies = _at(resiliency, "policies")
    for path, name in _field_of_each(resiliency, "rules", "spec.resiliency", "policy"):
        if name not in policies:
            there = ", ".join(policies) or "none"
            yield path, f"no policy is called {name!r}; policies: {there}"


@_rule("onExhausted names ordinary actors.")
def _exhausted(document: Mapping[str, Any]) -> Broken:
    for name, policy in _at(document, "spec", "resiliency", "policies").items():
        for index, actor in _texts(_mapping(policy), "onExhausted"):
            if actor in TERMINAL_ACTORS:
                path = f"spec.resiliency.policies.{name}.onExhausted[{index}]"
                yield (
                    path,
                    f"{actor!r} is reached by itself at the end of a route; name an actor of yours, or leave it out",
                )


@_rule("A variable is given once, holds a value or a reference, and is none of the platform's.")
def _variables(document: Mapping[str, Any]) -> Broken:
    for container, names in _environments(document):
        yield from _twice(names, "variable")
        for path, name in names:
            if not name.startswith(RESERVED_ENV) or (container == "handler" and _is_crew(document)):
                continue
            if container != "sidecar":
                yield path, f"{name!r} is reserved: names that begin with {RESERVED_ENV} belong to the platform"
            elif name.removesuffix("_FILE") in SIDECAR_FIELDS:
                yield path, f"{name!r} has a field of its own: {SIDECAR_FIELDS[name.removesuffix('_FILE')]}"
            elif name in SIDECAR_PLATFORM:
                yield path, f"{name!r} is reserved: only the platform sets it"


@_rule("A variable has a value or a reference, an envFrom entry one of Secret and ConfigMap.")
def _sources(document: Mapping[str, Any]) -> Broken:
    spec = _at(document, "spec")
    lists = [("spec.env", _items(spec, "env")), ("spec.sidecar.env", _items(_at(spec, "sidecar"), "env"))]
    for index, proxy in _items(spec, "stateProxy"):
        lists.append((f"spec.stateProxy[{index}].connector.env", _items(_at(_mapping(proxy), "connector"), "env")))
    for path, entries in lists:
        for index, entry in entries:
            if {"value", "valueFrom"} <= _mapping(entry).keys():
                yield f"{path}[{index}].valueFrom", "expected either value or valueFrom, found both"
    for index, entry in _items(spec, "envFrom"):
        if isinstance(entry, Mapping) and len({"secretRef", "configMapRef"} & entry.keys()) != 1:
            yield f"spec.envFrom[{index}]", "expected exactly one of secretRef and configMapRef"


@_rule("Containers, volumes, state and ports have names of their own; those that begin with asya- are the platform's.")
def _unique_names(document: Mapping[str, Any]) -> Broken:
    spec = _at(document, "spec")
    containers = [
        item for name in ("initContainers", "sidecars") for item in _field_of_each(spec, name, "spec", "name")
    ]
    volumes = _field_of_each(spec, "volumes", "spec", "name")
    yield from _twice(containers, "container")
    yield from _twice(volumes, "volume")
    yield from _twice(_field_of_each(spec, "stateProxy", "spec", "name"), "state")
    yield from _twice(_field_of_each(spec, "ports", "spec", "name"), "port")
    for path, name in containers + volumes:
        if name.startswith(RESERVED_NAME):
            yield path, f"{name!r} is reserved: names that begin with {RESERVED_NAME} belong to the platform"


@_rule("A mount names a volume that exists, and nothing else is mounted at its path.")
def _mounts(document: Mapping[str, Any]) -> Broken:
    spec = _at(document, "spec")
    paths = _field_of_each(spec, "volumeMounts", "spec", "mountPath")
    for index, proxy in _items(spec, "stateProxy"):
        path = _at(_mapping(proxy), "mount").get("path")
        if isinstance(path, str):
            paths.append((f"spec.stateProxy[{index}].mount.path", path))
    yield from _twice([(where, path.rstrip("/") or "/") for where, path in paths], "mount path")
    volumes = {name for _, name in _field_of_each(spec, "volumes", "spec", "name")}
    for path, name in _field_of_each(spec, "volumeMounts", "spec", "name"):
        if name not in volumes and not spec.get("flavors"):
            yield path, f"no volume is called {name!r}; volumes: {', '.join(sorted(volumes)) or 'none'}"


@_rule("command takes the place of pythonExecutable; Recreate has no rolling update.")
def _exclusive(document: Mapping[str, Any]) -> Broken:
    spec = _at(document, "spec")
    if spec.get("command") and "pythonExecutable" in spec:
        yield "spec.pythonExecutable", "counts only without command; give one of the two"
    strategy = _at(spec, "strategy")
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        yield "spec.strategy.rollingUpdate", "counts only with type RollingUpdate"


@_rule("Messages held at once are at least as many as calls at once.")
def _prefetch(document: Mapping[str, Any]) -> Broken:
    sidecar = _at(document, "spec", "sidecar")
    calls, held = _number(sidecar, "concurrency", 1), _number(sidecar, "prefetch", 10_000)
    if calls is not None and held is not None and held < calls:
        yield "spec.sidecar.prefetch", f"expected at least concurrency, which is {calls}, found {held}"
