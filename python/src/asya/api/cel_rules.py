"""The rules across fields as the API server checks them, by the place they look from.

`asya.api.rules` asks the same in Python, with the found values in its sentences. A place is a path as
`asya.api.schema.fields` writes it, or the name of a model that stands at several. A rule that looks at what is absent
stands at `spec`, from where flavors can be seen: where some are named, the composition asks when they are merged in.
What CEL cannot see (labels, other objects, lists in lists) only the composition asks.
"""

from __future__ import annotations

from asya.api.cel import Validation, has, text, texts, unique, value
from asya.api.fields import LABEL
from asya.api.rules_keys import SIDECAR_PORT, TAKEN_PORT
from asya.api.rules_mesh import CLOUDS, CREW, DEAD_LETTERS, TERMINAL_ACTORS
from asya.api.rules_pod import (
    CONNECTOR_PLATFORM,
    PLATFORM_FOLDERS,
    RESERVED_ENV,
    RESERVED_NAME,
    SIDECAR_FIELDS,
    SIDECAR_PLATFORM,
)
from asya.api.workload import PODS_OWN
from asya.policy import format_duration
from asya.policy.protection import DEFAULT_MAX_OPEN_FOR, DEFAULT_OPEN_FOR
from asya.policy.resiliency import DEFAULT_FIRST_DELAY, DEFAULT_MAX_INTERVAL

DOCUMENT = "(document)"
NAME = "(has(self.spec.actor) ? self.spec.actor : self.metadata.name)"
FLAVORS = "(has(self.flavors) && size(self.flavors) > 0)"
_OPEN, _MOST_OPEN = text(format_duration(DEFAULT_OPEN_FOR)), text(format_duration(DEFAULT_MAX_OPEN_FOR))
_FIRST, _CAP = text(format_duration(DEFAULT_FIRST_DELAY)), text(format_duration(DEFAULT_MAX_INTERVAL))
_SCALING, _ADVANCED, _POLICIES = "scaling", "scaling.advanced", "resiliency.policies"
_DESTINATIONS, _BREAKER = "resiliency.destinations", "resiliency.circuitBreaker"


def _whole(path: str, rule: str, message: str, field: str = "") -> Validation:
    """Return a rule of `spec` about what is at `path`, asked only where no flavors are named."""
    return Validation(f"{FLAVORS} || !({has(path)}) || {rule}", message, field)


def _reserved(prefix: str) -> Validation:
    return Validation(
        f"!self.startsWith({text(prefix)})", f"is reserved: names that begin with {prefix} belong to the platform"
    )


def _taken() -> list[Validation]:
    """Return the rules about variables of the sidecar that it gets from elsewhere."""
    found = [
        Validation(f"!(self in {texts([name, name + '_FILE'])})", f"{name} has a field of its own: {field}")
        for name, field in SIDECAR_FIELDS.items()
    ]
    platform = [name + end for name in SIDECAR_PLATFORM for end in ("", "_FILE")]
    return [*found, Validation(f"!(self in {texts(platform)})", "is reserved: only the platform sets it")]


def _open_for(breaker: str) -> str:
    return f"duration({value(f'{breaker}.openFor', _OPEN)}) <= duration({value(f'{breaker}.maxOpenFor', _MOST_OPEN)})"


def _min_calls(breaker: str) -> str:
    return f"(!has({breaker}.minCalls) || has({breaker}.failureRatio))"


def _delays(policy: str) -> str:
    first = value(f"{policy}.initialDelay", value(f"{policy}.initialInterval", _FIRST))
    return f"duration({first}) <= duration({value(f'{policy}.maxInterval', _CAP)})"


def _of_each(path: str, test: str) -> str:
    """Return `test` over every value, called ``each``, of the map at `path`."""
    return f"self.{path}.all(name, {test.replace('each', f'self.{path}[name]')})"


_PROTOCOL = "(has({0}.protocol) ? {0}.protocol : 'TCP')"
_SAME_PORT = f"b.containerPort == a.containerPort && {_PROTOCOL.format('b')} == {_PROTOCOL.format('a')}"
_OWN_FOLDER = Validation(
    f"{texts(PLATFORM_FOLDERS)}.all(folder, self != folder && !self.startsWith(folder + '/'))",
    "is reserved: the platform mounts folders of its own there",
)
_LONGER = "openFor is longer than maxOpenFor"
_NO_RATIO = "minCalls counts only with failureRatio, and there is none"
_DOCUMENT = [
    # The queue, its rights and what selects pods are called after the name, and messages may be in the queue.
    Validation(f"{NAME} == {NAME.replace('self', 'oldSelf')}", "cannot change; make another actor", ".spec.actor"),
    Validation(f"self.metadata.name.matches({text(LABEL)})", "metadata.name: expected a DNS label"),
    Validation(
        f"!('-' + {NAME}).endsWith({text(DEAD_LETTERS)})",
        f"a name that is, or ends in, {DEAD_LETTERS[1:]} is how dead-letter queues are called; choose another name",
    ),
    Validation(
        f"{NAME} in {texts(CREW)} || !has(self.spec.env)"
        f" || self.spec.env.all(each, !each.name.startsWith({text(RESERVED_ENV)}))",
        f"is reserved: names that begin with {RESERVED_ENV} belong to the platform",
        ".spec.env",
    ),
    Validation(
        f"!has(self.spec.resiliency) || !has(self.spec.{_DESTINATIONS}) || !({NAME} in self.spec.{_DESTINATIONS})",
        "is this actor itself, whose own rateLimit and circuitBreaker are one level up",
        f".spec.{_DESTINATIONS}",
    ),
]
_SPEC = [
    Validation(
        f"{FLAVORS} || has(self.workloadRef) || has(self.image)",
        "image: missing; expected an image such as my-model:1.4",
    ),
    Validation(
        f"{FLAVORS} || has(self.workloadRef) || has(self.handler)",
        "handler: missing; expected module.function or module.Class.method",
    ),
    *(
        Validation(
            f"!has(self.workloadRef) || !has(self.{name})",
            "counts only without workloadRef, whose pods do the work; give one of the two",
            f".{name}",
        )
        for name in PODS_OWN
    ),
    _whole(
        "workloadRef",
        f"!has(self.transport) || !(self.transport in {texts(CLOUDS)}) || has(self.serviceAccountName)",
        "serviceAccountName: missing; expected the service account of the workload's pods, which gets the rights",
    ),
    Validation(
        "!has(self.command) || size(self.command) == 0 || !has(self.pythonExecutable)",
        "counts only without command; give one of the two",
        ".pythonExecutable",
    ),
    Validation(
        "!has(self.initContainers) || !has(self.sidecars)"
        " || self.sidecars.all(a, !self.initContainers.exists(b, b.name == a.name))",
        "a container's name is given twice; one of initContainers is called that way too",
        ".sidecars",
    ),
    Validation(
        "!has(self.env) || !has(self.secretRefs)"
        " || self.secretRefs.all(ref, ref.keys.all(key, !self.env.exists(each, each.name == key.envVar)))",
        "a variable is given twice; one of env is called that way too",
        ".secretRefs",
    ),
    Validation(
        "!has(self.volumeMounts) || !has(self.stateProxy)"
        " || self.stateProxy.all(a, !self.volumeMounts.exists(b, b.mountPath == a.mount.path))",
        "a mount path is given twice; a volume is mounted there too",
        ".stateProxy",
    ),
    _whole(
        "volumeMounts",
        "self.volumeMounts.all(a, has(self.volumes) && self.volumes.exists(b, b.name == a.name))",
        "no volume is called that way",
        ".volumeMounts",
    ),
    _whole(
        f"{_SCALING}.minReplicaCount",
        f"self.scaling.minReplicaCount <= {value('self.scaling.maxReplicaCount', '10')}",
        "expected at most maxReplicaCount, which is 10 when absent",
        f".{_SCALING}.minReplicaCount",
    ),
    _whole(
        f"{_SCALING}.idleReplicaCount",
        f"{value('self.scaling.minReplicaCount', '0')} > 0",
        "expected a minReplicaCount above 0 beside it; with 0 the actor goes to zero anyway",
        f".{_SCALING}.idleReplicaCount",
    ),
    _whole(
        f"{_ADVANCED}.formula",
        f"has(self.{_ADVANCED}.target)",
        "needs target beside it, the value of the formula per replica",
        f".{_ADVANCED}.formula",
    ),
    *(
        _whole(
            f"{_ADVANCED}.{name}",
            f"has(self.{_ADVANCED}.formula)",
            "counts only with a formula, and there is none",
            f".{_ADVANCED}.{name}",
        )
        for name in ("target", "activationTarget", "metricType")
    ),
    _whole(
        "resiliency.rules",
        f"self.resiliency.rules.all(each, {has(_POLICIES)} && each.policy in self.{_POLICIES})",
        "names a policy that does not exist",
        ".resiliency.rules",
    ),
    _whole(
        _POLICIES, _of_each(_POLICIES, _delays("each")), "the first delay is longer than maxInterval", f".{_POLICIES}"
    ),
    _whole(_BREAKER, _open_for(f"self.{_BREAKER}"), _LONGER, f".{_BREAKER}"),
    _whole(_BREAKER, _min_calls(f"self.{_BREAKER}"), _NO_RATIO, f".{_BREAKER}"),
    *(
        _whole(
            _DESTINATIONS,
            _of_each(_DESTINATIONS, f"!has(each.circuitBreaker) || {test('each.circuitBreaker')}"),
            message,
            f".{_DESTINATIONS}",
        )
        for test, message in ((_open_for, _LONGER), (_min_calls, _NO_RATIO))
    ),
]
_RULES: dict[str, list[Validation]] = {
    DOCUMENT: _DOCUMENT,
    "spec": _SPEC,
    "spec.ports": [
        Validation(unique("name"), "a port's name is given twice"),
        Validation(f"self.all(a, self.exists_one(b, {_SAME_PORT}))", "a port is given twice"),
    ],
    "spec.ports[].name": [_reserved(RESERVED_NAME)],
    "spec.volumeMounts[].mountPath": [_OWN_FOLDER],
    "spec.stateProxy[].mount.path": [_OWN_FOLDER],
    "spec.stateProxy": [
        Validation(
            "self.all(a, self.exists_one(b, b.mount.path == a.mount.path))",
            "a mount path is given twice",
        )
    ],
    "spec.stateProxy[].connector.env[].name": [
        _reserved(RESERVED_ENV),
        Validation(f"self != {text(CONNECTOR_PLATFORM)}", "is reserved: only the platform sets it"),
    ],
    "spec.sidecar.env[].name": _taken(),
    "spec.secretRefs[].keys[].envVar": [_reserved(RESERVED_ENV)],
    "spec.volumes[].name": [_reserved(RESERVED_NAME)],
    "spec.initContainers[].name": [_reserved(RESERVED_NAME)],
    "spec.sidecars[].name": [_reserved(RESERVED_NAME)],
    "spec.scaling.additionalTriggers": [Validation(unique("name"), "a trigger's name is given twice")],
    "spec.scaling.additionalTriggers[].name": [
        Validation("self != 'queue'", "'queue' is the name of our own trigger; choose another name")
    ],
    "spec.resiliency.policies.*.onExhausted": [
        Validation(
            f"self.all(each, !(each in {texts(TERMINAL_ACTORS)}))",
            "x-sink and x-sump are where messages end by themselves; name an actor of yours, or leave it out",
        )
    ],
    "spec.resiliency.destinations": [
        Validation(
            f"self.all(name, !(name in {texts(TERMINAL_ACTORS)}))",
            "x-sink and x-sump are where messages end by themselves, which nothing may hold up",
        )
    ],
    "EnvVar": [
        Validation("!has(self.value) || !has(self.valueFrom)", "expected either value or valueFrom, found both")
    ],
    "EnvFrom": [
        Validation(
            "has(self.secretRef) != has(self.configMapRef)", "expected exactly one of secretRef and configMapRef"
        )
    ],
    "ContainerPort": [
        Validation(
            f"self.containerPort != {SIDECAR_PORT} || (has(self.protocol) && self.protocol != 'TCP')",
            TAKEN_PORT,
            ".containerPort",
        )
    ],
    "DestinationSpec": [
        Validation("has(self.rateLimit) || has(self.circuitBreaker)", "expected rateLimit or circuitBreaker")
    ],
    "DisruptionBudget": [
        Validation(
            "has(self.minAvailable) != has(self.maxUnavailable)",
            "expected exactly one of minAvailable and maxUnavailable",
        )
    ],
    "PolicySpec": [
        Validation(
            "!has(self.initialDelay) || !has(self.initialInterval)",
            "initialInterval is another spelling of initialDelay; give only one of the two",
        )
    ],
    "SidecarSpec": [
        Validation(
            "!has(self.prefetch) || !has(self.concurrency) || self.prefetch >= self.concurrency",
            "expected at least concurrency",
            ".prefetch",
        )
    ],
    "TopologySpread": [
        Validation(
            "!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'",
            "counts only with whenUnsatisfiable: DoNotSchedule",
            ".minDomains",
        )
    ],
    "Strategy": [
        Validation(
            "!has(self.rollingUpdate) || !has(self.type) || self.type != 'Recreate'",
            "counts only with type RollingUpdate",
            ".rollingUpdate",
        )
    ],
}
PLACES = frozenset(_RULES)


def validations(*places: str) -> list[dict[str, object]]:
    """Return the rules that look from any of `places`, as the schema writes them."""
    return [each.schema() for place in places for each in _RULES.get(place, ())]
