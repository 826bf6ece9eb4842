"""Parts of a pod, in the spelling of the Kubernetes API (core/v1 and apps/v1)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from asya.api.fields import (
    INT32,
    MAX_LIST,
    AbsolutePath,
    EnvName,
    Label,
    LabelKey,
    Model,
    PullPolicy,
    Quantity,
    Subdomain,
    Text,
)
from asya.api.kubernetes_parts import CONTAINER, VOLUME
from asya.api.passed_on import EnvVarSource, LabelSelector, NamedPart, Probe

Port = Annotated[int, Field(ge=1, le=65_535)]


class EnvVar(Model):
    """One environment variable: `value` or `valueFrom`, never both. With neither it is empty."""

    name: EnvName
    """Its name. Names that begin with ASYA_ belong to the platform."""
    value: str | None = None
    """Its value, as text. When absent, `valueFrom` counts, else it is empty."""
    value_from: EnvVarSource | None = None
    """Where its value comes from: `secretKeyRef`, `configMapKeyRef`, `fieldRef` or `resourceFieldRef`.
    When absent, `value` counts."""


class EnvFromRef(Model):
    """A Secret or ConfigMap by name."""

    name: Subdomain
    """Its name, in the actor's namespace."""
    optional: bool = False
    """Whether the pod may start without it."""


class EnvFrom(Model):
    """All entries of a Secret or ConfigMap as environment variables."""

    prefix: EnvName | None = None
    """Put before each name. When absent, names stay as they are."""
    secret_ref: EnvFromRef | None = None
    """The Secret. When absent, `configMapRef` must be given."""
    config_map_ref: EnvFromRef | None = None
    """The ConfigMap. When absent, `secretRef` must be given."""


class SecretKey(Model):
    """One key of a Secret as an environment variable."""

    key: Text
    """Key in the Secret."""
    env_var: EnvName
    """Name of the variable that gets its value."""


class SecretRef(Model):
    """Keys of one Secret as environment variables of the handler."""

    secret_name: Subdomain
    """Name of the Secret, in the actor's namespace."""
    keys: Annotated[list[SecretKey], Field(min_length=1, max_length=MAX_LIST)]
    """Its keys, and the variables they go to."""


class Resources(Model):
    """Compute resources of a container, GPUs included."""

    limits: dict[Text, Quantity] = {}
    """Most it may use, by resource name: cpu, memory, nvidia.com/gpu."""
    requests: dict[Text, Quantity] = {}
    """What is set aside for it, by resource name. A missing one is taken from `limits`."""


class Toleration(Model):
    """A taint that is tolerated."""

    key: Text | None = None
    """Key of the taint. When absent, every key, and `operator` must be Exists."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Whether the value counts."""
    value: str | None = None
    """Value of the taint, for operator Equal. When absent, the empty value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. When absent, every effect."""
    toleration_seconds: Annotated[int, Field(ge=0, le=INT32)] | None = None
    """How long effect NoExecute is tolerated, in seconds. When absent, for ever."""


class TopologySpread(Model):
    """How replicas are spread over zones or nodes."""

    max_skew: Annotated[int, Field(ge=1, le=INT32)]
    """Largest difference in pods between two domains."""
    topology_key: LabelKey
    """Node label that makes the domains, such as topology.kubernetes.io/zone."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    """What to do when it cannot be kept."""
    label_selector: LabelSelector | None = None
    """Pods that are counted. When absent, the actor's own."""
    min_domains: Annotated[int, Field(ge=1, le=INT32)] | None = None
    """Fewest domains. When absent, 1."""
    match_label_keys: list[LabelKey] = []
    """Pod labels whose values must agree as well."""
    node_affinity_policy: Literal["Honor", "Ignore"] = "Honor"
    """Whether node affinity and selector limit the domains."""
    node_taints_policy: Literal["Honor", "Ignore"] = "Ignore"
    """Whether taints limit the domains."""


class Volume(NamedPart):
    """A volume of the pod (Volume, core/v1); everything besides the name is passed on."""

    part: ClassVar[str] = VOLUME

    name: Label
    """Its name; names that begin with asya- belong to the platform."""


class VolumeMount(Model):
    """Where a volume appears in the handler's container."""

    name: Label
    """Name of the volume."""
    mount_path: AbsolutePath
    """Path in the container."""
    sub_path: Text | None = None
    """Path within the volume. When absent, its root."""
    sub_path_expr: Text | None = None
    """As `subPath`, with variables expanded. When absent, `subPath` counts."""
    read_only: bool = False
    """Refuse writing."""
    mount_propagation: Literal["None", "HostToContainer", "Bidirectional"] | None = None
    """Whether mounts made later are seen. When absent, None."""


class ExtraContainer(NamedPart):
    """A container of yours beside ours (Container, core/v1); everything besides the name is passed on."""

    part: ClassVar[str] = CONTAINER

    name: Label
    """Its name; names that begin with asya- belong to the platform."""


class ContainerPort(Model):
    """A port of the handler's container."""

    container_port: Port
    """Number of the port; 8081/TCP is the sidecar's."""
    name: Annotated[Label, Field(max_length=15)] | None = None
    """Its name; names that begin with asya- belong to the platform. When absent, it has none."""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    """Its protocol."""


class HostAlias(Model):
    """A line for the pod's /etc/hosts."""

    ip: Text
    """The address."""
    hostnames: Annotated[list[Subdomain], Field(min_length=1)]
    """The names that lead to it."""


class LocalReference(Model):
    """An object by name, in the actor's namespace."""

    name: Subdomain
    """Its name."""


class Probes(Model):
    """Probes of the handler's container in place of ours (Probe, core/v1)."""

    startup: Probe | None = None
    """Start-up probe. When absent, ours: the handler has been imported."""
    liveness: Probe | None = None
    """Liveness probe. When absent, ours: the runtime answers."""
    readiness: Probe | None = None
    """Readiness probe. When absent, ours: the runtime is connected to the sidecar."""


class RollingUpdate(Model):
    """Speed of a rolling update."""

    max_surge: int | Text | None = None
    """How many pods may be added at once, a number or a percentage as text. When absent, 25%."""
    max_unavailable: int | Text | None = None
    """How many pods may be missing at once, a number or a percentage as text. When absent, 25%."""


class Strategy(Model):
    """How a new version replaces the old (DeploymentStrategy, apps/v1)."""

    type: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    """Side by side, or old ones first (one GPU, one writer)."""
    rolling_update: RollingUpdate | None = None
    """Speed of a rolling update. When absent, Kubernetes' own; not with type Recreate."""


class ContainerImage(Model):
    """An image in parts."""

    repository: Text | None = None
    """Repository without tag. When absent, the platform's."""
    tag: Text | None = None
    """Tag. When absent, the platform's."""
    pull_policy: PullPolicy | None = None
    """When the image is pulled. When absent, the platform's."""
