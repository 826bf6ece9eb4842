"""`AsyncActor`: one function with its queue, its resources and its rules, as people write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from asya.api.fields import (
    INT32,
    MAX_LIST,
    MAX_REPLICAS,
    MAX_VARIABLES,
    HandlerName,
    Label,
    LabelKey,
    LabelValue,
    Model,
    PullPolicy,
    Subdomain,
    Text,
)
from asya.api.guards import DisruptionBudget, NetworkPolicySpec, PodMonitorSpec
from asya.api.parts import QueueSpec, RuntimeSpec, SidecarSpec, StateProxy, TracingSpec
from asya.api.passed_on import Affinity, PodSecurityContext, SecurityContext
from asya.api.paths import path_text
from asya.api.pod import (
    ContainerPort,
    EnvFrom,
    EnvVar,
    ExtraContainer,
    HostAlias,
    LocalReference,
    Probes,
    Resources,
    SecretRef,
    Strategy,
    Toleration,
    TopologySpread,
    Volume,
    VolumeMount,
)
from asya.api.resiliency import ResiliencySpec
from asya.api.rules import broken_rules
from asya.api.scaling import ScalingSpec
from asya.api.workload import WorkloadRef
from asya.policy import Resiliency

_SERVER_SIDE = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
MACHINERY = frozenset(
    {
        "claimRef",
        "compositeDeletePolicy",
        "compositionRef",
        "compositionRevisionRef",
        "compositionRevisionSelector",
        "compositionSelector",
        "compositionUpdatePolicy",
        "crossplane",
        "environmentConfigRefs",
        "publishConnectionDetailsTo",
        "resourceRef",
        "resourceRefs",
        "writeConnectionSecretToRef",
    }
)
"""Crossplane's own fields of a spec: in `crossplane`, and of a claim and its composite directly in it."""
RULES_APART = "rules apart"
"""Validation context that says: rules across fields are asked for separately."""


def _without(data: Any, names: frozenset[str]) -> Any:  # noqa: ANN401  whatever the manifest holds there
    """Leave out what a server wrote into an object, so that an object read from a cluster is a manifest again."""
    return {key: value for key, value in data.items() if key not in names} if isinstance(data, Mapping) else data


class Metadata(Model):
    """Name and labels of an object."""

    name: Label
    """Name of the object; also the actor's, unless `spec.actor` says otherwise."""
    namespace: Label | None = None
    """Namespace. When absent, the one it is applied to."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels; they are copied to everything that is made for the actor."""
    annotations: dict[LabelKey, str] = {}
    """Annotations."""

    @model_validator(mode="before")
    @classmethod
    def _drop_server_side(cls, data: Any) -> Any:  # noqa: ANN401  whatever the manifest holds there
        return _without(data, _SERVER_SIDE)


class ActorSpec(Model):
    """What an actor is: its function, its container, its queue, its scaling."""

    actor: Label | None = None
    """Name that routes use and the queue is called after; it cannot change. When absent, `metadata.name`."""
    flavors: Annotated[list[Annotated[Subdomain, Field(min_length=3)]], Field(max_length=8)] = []
    """Names of partial specs that the platform team keeps (EnvironmentConfigs); what is written here wins over them."""
    transport: Literal["rabbitmq", "sqs", "pubsub"] | None = None
    """Broker that carries the messages; all actors of a namespace must agree. When absent, the platform's."""

    image: Text | None = None
    """Image with your code and any Python from 3.8 on. Required unless `flavors` or `workloadRef` are given.
    When absent, a flavor's."""
    image_pull_policy: PullPolicy = "IfNotPresent"
    """When the image is pulled."""
    image_pull_secrets: list[LocalReference] = []
    """Secrets for pulling images."""
    handler: HandlerName | None = None
    """What is called for each message. Not with `workloadRef`. When absent, a flavor's."""
    workload_ref: WorkloadRef | None = None
    """A workload of somebody else that is called over HTTP, in place of `image` and `handler`. When absent, the actor
    has pods of its own."""
    python_executable: Text = "python3"
    """Interpreter in the image, by name or path."""
    command: list[str] = []
    """Command of the handler's container in place of `pythonExecutable` and our runtime file; it must end up running
    /opt/asya/asya_runtime.py. When empty, that is what runs."""
    args: list[str] = []
    """Arguments added to the command."""

    env: Annotated[list[EnvVar], Field(max_length=MAX_VARIABLES)] = []
    """Environment variables of the handler."""
    env_from: Annotated[list[EnvFrom], Field(max_length=MAX_LIST)] = []
    """Whole Secrets and ConfigMaps as environment variables of the handler."""
    secret_refs: Annotated[list[SecretRef], Field(max_length=MAX_LIST)] = []
    """Keys of Secrets as environment variables of the handler."""
    resources: Resources = Resources()
    """Compute resources of the handler's container, GPUs included."""
    ports: Annotated[list[ContainerPort], Field(max_length=MAX_LIST)] = []
    """Ports of the handler's container, for a metrics page or a debugger."""
    probes: Probes = Probes()
    """Probes of the handler's container in place of ours."""
    security_context: SecurityContext | None = None
    """Security context of the handler's container (core/v1), merged over the platform's restricted one.
    When absent, that alone."""
    volumes: Annotated[list[Volume], Field(max_length=MAX_LIST)] = []
    """Volumes of the pod."""
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=MAX_LIST)] = []
    """Where they appear in the handler's container."""
    init_containers: Annotated[list[ExtraContainer], Field(max_length=MAX_LIST)] = []
    """Containers of yours that run before (Container, core/v1)."""
    sidecars: Annotated[list[ExtraContainer], Field(max_length=MAX_LIST)] = []
    """Containers of yours that run beside (Container, core/v1)."""

    service_account_name: Subdomain | None = None
    """Service account of the pods. With `workloadRef` the workload's, needed for an identity on sqs and pubsub.
    When absent, one is made for the actor."""
    node_selector: dict[LabelKey, LabelValue] = {}
    """Labels a node must have."""
    tolerations: list[Toleration] = []
    """Taints that are tolerated."""
    affinity: Affinity | None = None
    """Affinity of the pods (Affinity, core/v1). When absent, none."""
    topology_spread_constraints: list[TopologySpread] = []
    """How replicas are spread over zones or nodes."""
    priority_class_name: Subdomain | None = None
    """Priority class of the pods. When absent, the cluster's default."""
    runtime_class_name: Subdomain | None = None
    """Runtime class of the pods, such as nvidia. When absent, the cluster's default."""
    pod_security_context: PodSecurityContext | None = None
    """Security context of the pods (PodSecurityContext, core/v1), merged over the platform's restricted one.
    When absent, that alone."""
    pod_labels: dict[LabelKey, LabelValue] = {}
    """Labels of the pods alone."""
    pod_annotations: dict[LabelKey, str] = {}
    """Annotations of the pods alone."""
    host_aliases: list[HostAlias] = []
    """Lines for the pods' /etc/hosts."""
    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=INT32)] | None = None
    """Time a pod gets to finish its calls when it is asked to stop, in seconds. When absent, by `actorTimeout`."""
    strategy: Strategy = Strategy()
    """How a new version replaces the old."""
    replicas: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] = 1
    """Replicas while `scaling.enabled` is false; else `scaling` decides."""

    scaling: ScalingSpec = ScalingSpec()
    """How many replicas there are."""
    resiliency: ResiliencySpec = ResiliencySpec()
    """How long a call may take, and what happens when it fails."""
    queue: QueueSpec = QueueSpec()
    """The actor's queue."""
    runtime: RuntimeSpec = RuntimeSpec()
    """The process that calls your handler."""
    sidecar: SidecarSpec = SidecarSpec()
    """The process beside it that moves messages."""
    state_proxy: Annotated[list[StateProxy], Field(max_length=MAX_LIST)] = []
    """State outside the pod as files in folders."""
    pod_disruption_budget: DisruptionBudget | None = None
    """How many pods may be missing while nodes are drained. When absent, the platform's."""
    network_policy: NetworkPolicySpec = NetworkPolicySpec()
    """What the pods may reach."""
    pod_monitor: PodMonitorSpec | None = None
    """Have the Prometheus operator read the sidecar's metrics. When absent, where the platform says."""
    tracing: TracingSpec | None = None
    """Where spans go. When absent, where the platform says."""

    @model_validator(mode="before")
    @classmethod
    def _drop_server_side(cls, data: Any) -> Any:  # noqa: ANN401  whatever the manifest holds there
        return _without(data, MACHINERY)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a manifest was read: file, and the line its document begins at (1-based). Never part of a comparison."""

    file: Path = field(compare=False)
    line: int = field(default=1, compare=False)


class AsyncActor(Model):
    """One actor: a function, the queue in front of it, and how it is run."""

    api_version: Literal["asya.sh/v1alpha1"] = "asya.sh/v1alpha1"
    """Group and version of the API."""
    kind: Literal["AsyncActor"] = "AsyncActor"
    """Kind of the object."""
    metadata: Metadata
    """Name, namespace and labels."""
    spec: ActorSpec
    """What the actor is."""

    _source: Source = PrivateAttr(default=Source(Path("-")))

    @model_validator(mode="before")
    @classmethod
    def _drop_server_side(cls, data: Any) -> Any:  # noqa: ANN401  whatever the manifest holds there
        return _without(data, frozenset({"status"}))

    @model_validator(mode="after")
    def _keep_the_rules(self, info: ValidationInfo) -> Self:
        if info.context == RULES_APART:
            return self
        broken = broken_rules(self.manifest())
        if broken:
            text = "; ".join(f"{path_text(path)}: {sentence}" for path, sentence in broken)
            raise PydanticCustomError("broken_rules", "{text}", {"text": text})
        return self

    @property
    def name(self) -> str:
        """The name that routes use: `spec.actor`, else `metadata.name`."""
        return self.spec.actor or self.metadata.name

    @property
    def source(self) -> Source:
        """Where the manifest was read; file ``-`` when it was made in Python."""
        return self._source

    def namespace_or(self, default: str) -> str:
        """Return the manifest's namespace, else `default`."""
        return self.metadata.namespace or default

    def resiliency(self) -> Resiliency:
        """Return time limit and retry policies as the sidecar works with them; times in seconds."""
        scaling = self.spec.scaling
        replicas = scaling.max_replica_count if scaling.enabled else self.spec.replicas
        return self.spec.resiliency.resiliency(max(replicas, 1))

    def manifest(self) -> dict[str, Any]:
        """Return the manifest as it would be written: camelCase, only what was given."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            **self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"api_version", "kind"}),
        }
