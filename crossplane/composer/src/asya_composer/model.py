"""The values that pass between the parts of the function, and what a transport must give.

All are immutable; nothing here talks to anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from asya.api import AsyncActor
from asya_composer.settings import Settings, TransportName

Manifest = dict[str, Any]
"""A Kubernetes object as it is written in YAML."""

Seen = Mapping[str, Any]
"""A Kubernetes object as the cluster has it."""

Part = Literal["queue", "identity", "autoscaler", "workload"]
"""What of an actor a resource belongs to; each part has a condition."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition in an object's status."""

    type: str
    status: str
    reason: str = ""
    message: str = ""

    @property
    def is_true(self) -> bool:
        """Tell whether it holds."""
        return self.status == "True"


@dataclass(frozen=True, slots=True)
class Observed:
    """What of the actor's resources is in the cluster, by key (for a transport: its own keys and the shared ones)."""

    resources: Mapping[str, Seen] = field(default_factory=dict)

    def get(self, key: str) -> Seen | None:
        """Return the object as the cluster has it, None when it is not there."""
        return self.resources.get(key)

    def at(self, key: str, *path: str) -> Any:  # noqa: ANN401  whatever the object holds there
        """Return the value at `path` of the object, None where anything on the way is missing."""
        value: Any = self.resources.get(key)
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def conditions(self, key: str) -> dict[str, Condition]:
        """Return the conditions of the object by their types; of several of a type, the first."""
        entries, found = self.at(key, "status", "conditions"), dict[str, Condition]()
        for entry in entries if isinstance(entries, list) else ():
            kind = entry.get("type") if isinstance(entry, Mapping) else None
            if isinstance(kind, str) and kind not in found:
                status, reason, message = (str(entry.get(name) or "") for name in ("status", "reason", "message"))
                found[kind] = Condition(kind, status, reason, message)
        return found

    def condition(self, key: str, kind: str) -> Condition | None:
        """Return a condition of the object by its type, None when it has not got it."""
        return self.conditions(key).get(kind)

    def number(self, key: str, *path: str) -> int:
        """Return the whole number at `path` of the object, 0 where there is none."""
        value = self.at(key, *path)
        return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class Context:
    """One actor, on one transport, as it shall be.

    Attributes:
        actor: The effective actor: flavors merged in, defaults filled.
        composite: The composite resource as it came.
        namespace: Namespace of the actor and of everything composed.
        transport: Broker this is about; on a move there is one context for the old and one for the new.
        labels: Labels of everything that is composed.
        settings: The platform's.
        observed: What exists.
        neighbours: Names of the namespace's actors, this one among them.
        served: For the crew: namespaces that have actors on this transport and no crew of their own.
        scalers: Transports whose ScaledObject comes first on a move, where there can be only one.
        exchanges: What the objects that have made exchanges on RabbitMQ are known by, by name: that of the actor's
            namespace; to the crew of all, those of all that it serves.
        workload: Somebody else's workload that the actor is bound to, as the cluster has it.
    """

    actor: AsyncActor
    composite: Manifest
    namespace: str
    transport: TransportName
    labels: Mapping[str, str]
    settings: Settings
    observed: Observed
    neighbours: Sequence[str] = ()
    served: Sequence[str] = ()
    exchanges: Mapping[str, str] = field(default_factory=dict)
    scalers: Sequence[TransportName] = ()
    workload: Seen | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """One object that shall exist.

    `why` says in words what it waits for while it is not `ready`; `error` is what its controller complains about, which
    does not end by waiting. What is for `later` is not made yet: what it needs is not there, or not ready.
    """

    key: str
    part: Part
    manifest: Manifest
    ready: bool
    why: str = ""
    error: str = ""
    later: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that cannot be composed yet. `reason` is CamelCase."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodAccess:
    """What a pod needs to reach the broker as itself.

    Attributes:
        annotations: Of the service account.
        labels: Of the pods.
        env: Variables of the sidecar (EnvVar, core/v1): literal values and references to Secrets, never a password.
        volumes: Volumes of the pod, such as authorities to trust.
        mounts: Where the sidecar sees them.
        egress: Rules of the network policy (NetworkPolicyEgressRule, networking/v1).
        credentials: What tells the credentials that pods start with from later ones; empty where they are not known
            yet, or are fetched anew by the pods themselves.
    """

    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Sequence[Manifest] = ()
    volumes: Sequence[Manifest] = ()
    mounts: Sequence[Manifest] = ()
    egress: Sequence[Manifest] = ()
    credentials: str = ""


@dataclass(frozen=True, slots=True)
class Trigger:
    """KEDA's trigger for the queue.

    Attributes:
        type: KEDA's name of the scaler.
        metadata: Its parameters, all of them text.
        authentication: `spec` of the TriggerAuthentication, None when none is needed.
    """

    type: str
    metadata: Mapping[str, str]
    authentication: Manifest | None = None


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """What `status` says about the queue. `url` is None where the broker has none."""

    identifier: str
    url: str | None = None


class Transport(Protocol):
    """One broker: sibling modules that do not know each other.

    Keys are without the transport's name; `compose` puts it in front, so that on a move both sets exist side by side.
    """

    name: TransportName

    def resources(self, context: Context) -> list[Resource]:
        """Return queue, dead-letter queue and identity, in the order in which they are needed.

        What cannot be made before something else is observed is left out; what already exists never is.
        """
        ...

    def pod(self, context: Context) -> PodAccess | Waiting:
        """Return what the pods need; Waiting while it depends on something that is not observed yet."""
        ...

    def trigger(self, context: Context) -> Trigger | Waiting:
        """Return the autoscaler's trigger."""
        ...

    def queue(self, context: Context) -> QueueStatus:
        """Return how the queue is called."""
        ...
