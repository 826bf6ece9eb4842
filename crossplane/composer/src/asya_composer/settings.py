"""The composition's input: what the platform decides for all actors.

Kind `Input` of ``composer.asya.sh/v1alpha1``. Crossplane does not check it, so the function does, and its CRD schema
(`crd`) documents it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from asya.api.fields import (
    AbsolutePath,
    KubernetesObject,
    Label,
    LabelKey,
    LabelValue,
    Model,
    PositiveDuration,
    PullPolicy,
    Subdomain,
    Text,
    Url,
)
from asya.api.parts import TracingSpec
from asya.api.pod import EnvVar, LocalReference, Port, Resources
from asya.api.scaling import ScalingBehavior

API_VERSION: Final = "composer.asya.sh/v1alpha1"
KIND: Final = "Input"
TransportName = Literal["rabbitmq", "sqs", "pubsub"]
TRANSPORTS: tuple[TransportName, ...] = ("rabbitmq", "sqs", "pubsub")

RESTRICTED_POD: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
"""What the restricted Pod Security profile asks for, and no more: people's images may write where they like."""


class SecretKeyRef(Model):
    """A key of a Secret or ConfigMap in the actor's namespace."""

    name: Subdomain
    """Name of the object."""
    key: Text
    """Key in it."""


class SidecarDefaults(Model):
    """The sidecar's container, unless an actor says otherwise."""

    repository: Text
    """Image without its tag."""
    tag: Text
    """Tag of the image, or `@sha256:…` for a digest."""
    pull_policy: PullPolicy = "IfNotPresent"
    """When the image is pulled."""
    resources: Resources = Resources(requests={"cpu": "50m", "memory": "64Mi"}, limits={"memory": "256Mi"})
    """Compute resources."""
    env: list[EnvVar] = []
    """Settings of all sidecars that have no field of their own."""
    port: Port = 8081
    """Port of health and metrics."""
    security_context: KubernetesObject = {**RESTRICTED_CONTAINER, "readOnlyRootFilesystem": True}
    """Security context of the container (core/v1)."""


class PodDefaults(Model):
    """All actors' pods."""

    resources: Resources = Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "512Mi"})
    """Compute resources of the handler's container where the actor names none."""
    connector_resources: Resources = Resources(requests={"cpu": "25m", "memory": "64Mi"}, limits={"memory": "256Mi"})
    """Compute resources of a state connector where the actor names none."""
    pod_security_context: KubernetesObject = RESTRICTED_POD
    """Security context of the pods (PodSecurityContext, core/v1). `fsGroup` is what handler and sidecar share."""
    security_context: KubernetesObject = RESTRICTED_CONTAINER
    """Security context of the containers beside the sidecar (core/v1)."""
    image_pull_secrets: list[LocalReference] = []
    """Secrets for pulling images, added to the actor's."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of all pods."""
    annotations: dict[LabelKey, str] = {}
    """Annotations of all pods."""


class GatewayDefaults(Model):
    """The gateway that sidecars report to."""

    url: Url
    """Its internal address."""
    token: SecretKeyRef | None = None
    """Secret with the bearer token for it. When absent, none is sent."""
    namespace: Label | None = None
    """Namespace its pods are in, which the network policy lets through. When absent, the host in `url` is outside."""
    port: Port = 8080
    """Port of its pods."""


class NetworkDefaults(Model):
    """Network policy of the actors' pods. The broker, DNS and the gateway are always let through."""

    enabled: bool = True
    """Compose a NetworkPolicy per actor."""
    egress: list[KubernetesObject] = []
    """What all actors may reach besides (NetworkPolicyEgressRule, networking/v1)."""
    dns_namespace: Label = "kube-system"
    """Namespace of the cluster's DNS."""
    scrape_from: list[KubernetesObject] = []
    """Peers that may read the sidecar's metrics (NetworkPolicyPeer, networking/v1)."""


class PodMonitorDefaults(Model):
    """A PodMonitor per actor, for the Prometheus operator."""

    labels: dict[LabelKey, LabelValue] = {}
    """Labels by which Prometheus finds it."""
    interval: Text = "30s"
    """How often metrics are read."""


class DisruptionDefaults(Model):
    """How many pods a drained node may take away at once."""

    max_unavailable: Annotated[int, Field(ge=1)] | Text = 1
    """A number, or a percentage as text."""


class ScalerDefaults(Model):
    """Speed of scaling where the actor does not say."""

    behavior: ScalingBehavior = ScalingBehavior()
    """As `spec.scaling.advanced.behavior`."""


class ClusterReference(Model):
    """The broker, as the messaging topology operator knows it: one of `name` and `connectionSecret`."""

    namespace: Label = "asya-system"
    """Where the RabbitmqCluster or the Secret is; admin credentials stay there."""
    name: Subdomain | None = None
    """A RabbitmqCluster. When absent, `connectionSecret` is given."""
    connection_secret: Subdomain | None = None
    """A Secret with username, password and uri of the management API. When absent, `name` is given."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.name is None) == (self.connection_secret is None):
            raise PydanticCustomError("one_of_both", "expected exactly one of name and connectionSecret")
        return self


class RabbitmqSettings(Model):
    """RabbitMQ: objects by the messaging topology operator."""

    cluster: ClusterReference
    """The broker to the topology operator."""
    host: Text
    """Host to sidecars, or hosts separated by commas."""
    port: Port = 5672
    """Port to sidecars."""
    vhost: Text = "/"
    """Virtual host."""
    management_url: Url
    """Management API without credentials; the autoscaler asks it for the queue's length."""
    tls: bool = False
    """Encrypt the sidecars' connections."""
    ca: SecretKeyRef | None = None
    """ConfigMap in each namespace with the authorities to trust. When absent, the image's own."""
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] = "4.0"
    """Version of the broker, major and minor; some arguments depend on it."""
    operator_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] = "1.16"
    """Version of the messaging topology operator, major and minor; queues can be retained from 1.20 on."""
    consumer_timeout: PositiveDuration = "30m"
    """The broker's own limit for holding a message."""
    broker_labels: dict[LabelKey, LabelValue] = {}
    """Labels of the broker's pods in `cluster.namespace`, for the network policy. When empty, all pods there."""


class SqsSettings(Model):
    """SQS: objects by the namespaced upjet providers."""

    region: Text
    """Region of the queues."""
    account_id: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    """AWS account of the queues."""
    partition: Literal["aws", "aws-cn", "aws-us-gov"] = "aws"
    """Partition in ARNs."""
    provider_config: Label = "default"
    """ClusterProviderConfig of the providers."""
    identity: Literal["irsa", "podIdentity"] = "irsa"
    """How pods get their role."""
    oidc_provider: Text | None = None
    """Issuer of the cluster's tokens without https://; required for `irsa`. When absent, `podIdentity`."""
    permissions_boundary: Text | None = None
    """ARN of a policy that bounds every role. When absent, none."""
    role_path: Text = "/asya/"
    """Path of the roles."""
    keda_role_arn: Text | None = None
    """Role that KEDA takes on to read queue lengths. When absent, KEDA's own pod identity."""
    kms_key_id: Text | None = None
    """KMS key of the queues. When absent, SQS's own encryption."""
    retention_seconds: Annotated[int, Field(ge=60, le=1_209_600)] = 1_209_600
    """How long a message is kept."""
    tags: dict[str, str] = {}
    """Tags of all AWS objects."""
    endpoint: Url | None = None
    """Another endpoint, such as a test server's. When absent, AWS's."""
    egress_cidr: Text = "0.0.0.0/0"
    """Addresses of the API for the network policy."""


class PubsubSettings(Model):
    """Pub/Sub: objects by the namespaced upjet providers."""

    project: Text
    """Project of topics and subscriptions."""
    project_number: Annotated[str, Field(pattern=r"^[0-9]+$")]
    """Its number; the Pub/Sub service agent is called by it."""
    provider_config: Label = "default"
    """ClusterProviderConfig of the providers."""
    identity: Literal["principal", "serviceAccount"] = "principal"
    """Who pods are to Google: themselves, or a service account each, which needs an object per pair of actors."""
    workload_identity_pool: Text | None = None
    """Pool of the cluster. When absent, `<project>.svc.id.goog`."""
    workload_identity_project_number: Annotated[str, Field(pattern=r"^[0-9]+$")] | None = None
    """Number of the project that has the pool. When absent, `projectNumber`."""
    retention: Text = "604800s"
    """How long a message is kept, in seconds with an s."""
    kms_key_name: Text | None = None
    """KMS key of topics. When absent, Google's own encryption."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of all Google objects."""
    endpoint: Text | None = None
    """Another endpoint (host:port), such as an emulator's. When absent, Google's."""
    prometheus_address: Url | None = None
    """Where KEDA reads the backlog. When absent, Google's managed Prometheus of the project."""
    egress_cidr: Text = "0.0.0.0/0"
    """Addresses of the API for the network policy."""


class TransportSettings(Model):
    """The brokers that this platform has; an actor can only name one that is here."""

    rabbitmq: RabbitmqSettings | None = None
    """When absent, `transport: rabbitmq` is refused."""
    sqs: SqsSettings | None = None
    """When absent, `transport: sqs` is refused."""
    pubsub: PubsubSettings | None = None
    """When absent, `transport: pubsub` is refused."""


class Settings(Model):
    """The platform's settings."""

    api_version: Literal["composer.asya.sh/v1alpha1"] = API_VERSION
    """Group and version."""
    kind: Literal["Input"] = KIND
    """Kind."""
    metadata: KubernetesObject = {}
    """Ignored."""
    default_transport: TransportName
    """Broker of actors that name none."""
    transports: TransportSettings
    """The brokers."""
    crew_namespace: Label | None = None
    """Namespace of x-sink and x-sump for all; in others they are refused. When absent, each namespace has its own."""
    queue_names: Literal["underscore", "dash"] = "underscore"
    """Names at the broker: asya_<namespace>_<actor>, or asya-<namespace>-<actor> as the public project has it; of two
    actors that would share one, the younger is refused."""
    sidecar: SidecarDefaults
    """The sidecar's container."""
    pods: PodDefaults = PodDefaults()
    """The actors' pods."""
    gateway: GatewayDefaults | None = None
    """The gateway. When absent, nothing is reported but by the envelope's own address."""
    tracing: TracingSpec | None = None
    """Where spans go. When absent, nowhere unless the actor says."""
    network: NetworkDefaults = NetworkDefaults()
    """Network policies."""
    pod_monitor: PodMonitorDefaults | None = None
    """PodMonitors. When absent, none."""
    disruption: DisruptionDefaults | None = DisruptionDefaults()
    """Disruption budgets. When null, none."""
    scaling: ScalerDefaults = ScalerDefaults()
    """Scaling."""
    runtime_folder: AbsolutePath = "/opt/asya"
    """Where the runtime file appears in the handler's container."""
    socket_folder: AbsolutePath = "/var/run/asya"
    """Where the socket between the two containers is."""
