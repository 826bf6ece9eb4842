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
    Interval,
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
Cidr = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]
TransportName = Literal["rabbitmq", "sqs", "pubsub"]
SENTENCE: Final = "sentence"
"""Type of an error that says itself what is wrong."""
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
    """Security context of the pods (PodSecurityContext, core/v1); an actor's own is merged over it. `fsGroup` is what
    handler and sidecar share."""
    security_context: KubernetesObject = RESTRICTED_CONTAINER
    """Security context of the containers beside the sidecar (core/v1); a container's own is merged over it."""
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
    crew_egress: list[KubernetesObject] = []
    """What x-sink and x-sump may reach besides, such as the store of checkpoints (NetworkPolicyEgressRule)."""
    dns_namespace: Label = "kube-system"
    """Namespace of the cluster's DNS; on OpenShift openshift-dns."""
    dns_ports: Annotated[list[Port], Field(min_length=1)] = [53]
    """Ports on which its pods listen, over UDP and TCP; on OpenShift 5353."""
    dns_cidrs: list[Cidr] = ["169.254.20.10/32"]
    """Addresses that answer for it besides; by default those of NodeLocal DNSCache."""
    scrape_from: list[KubernetesObject] = []
    """Peers that may read metrics (NetworkPolicyPeer, networking/v1). When empty, anybody may where a PodMonitor is
    asked for, else nobody."""


class PodMonitorDefaults(Model):
    """A PodMonitor per actor, for the Prometheus operator."""

    labels: dict[LabelKey, LabelValue] = {}
    """Labels by which Prometheus finds it."""
    interval: Interval = "30s"
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
            raise PydanticCustomError(SENTENCE, "expected exactly one of name and connectionSecret")
        return self


class RabbitmqSettings(Model):
    """RabbitMQ: objects by the messaging topology operator."""

    cluster: ClusterReference
    """The broker to the topology operator."""
    host: Text
    """Host to sidecars, or hosts separated by commas."""
    port: Port | None = None
    """Port to sidecars. When absent, 5671 with `tls`, else 5672."""
    vhost: Text = "/"
    """Virtual host."""
    management_url: Url
    """Management API without credentials; the autoscaler asks it for the queue's length."""
    tls: bool = False
    """Encrypt the sidecars' connections."""
    ca: SecretKeyRef | None = None
    """ConfigMap in each namespace with the authorities to trust; the autoscaler trusts them too, where `managementUrl`
    is encrypted. When absent, the image's own."""
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] = "4.0"
    """Version of the broker, major and minor; some arguments depend on it."""
    operator_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] = "1.16"
    """Version of the messaging topology operator, major and minor; queues can be retained from 1.20 on."""
    consumer_timeout: PositiveDuration = "30m"
    """The broker's own limit for holding a message."""
    broker_namespace: Label | None = None
    """Namespace of the broker's pods, for the network policy. When absent, `cluster.namespace`."""
    broker_labels: dict[LabelKey, LabelValue] = {}
    """Labels of the broker's pods, for the network policy. When empty, all pods of their namespace."""
    egress_cidr: Cidr | None = None
    """Addresses of a broker outside the cluster, for the network policy. When absent, it is pods of the cluster."""

    @model_validator(mode="after")
    def _broker_is_found(self) -> Self:
        """A Secret says nothing of where the broker is; a policy by guess would shut it out."""
        if self.egress_cidr is not None:
            if self.broker_namespace is not None or self.broker_labels:
                sentence = (
                    "expected either egressCidr or brokerNamespace and brokerLabels: outside the cluster or in it"
                )
                raise PydanticCustomError(SENTENCE, sentence)
            return self
        secret = self.cluster.connection_secret is not None
        if secret and self.broker_namespace is None and not self._in_namespace(self.cluster.namespace):
            sentence = (
                "host is not in cluster.namespace, where the connectionSecret is: give brokerNamespace, or egressCidr "
                "for a broker outside the cluster"
            )
            raise PydanticCustomError(SENTENCE, sentence)
        return self

    @property
    def amqp_port(self) -> int:
        """Port to sidecars."""
        if self.port is not None:
            return self.port
        return 5671 if self.tls else 5672

    def _in_namespace(self, namespace: str) -> bool:
        """Tell whether all hosts are called as Services or pods of the namespace are."""
        return all(namespace in host.strip().partition(":")[0].split(".")[1:] for host in self.host.split(","))


class ClaimCheck(Model):
    """Where the bodies of messages are that are too large for SQS."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """S3 bucket. It should delete objects after 15 days: what a crash leaves is not needed then."""
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]+/)+$")] = "asya/"
    """What names of objects begin with; namespace and actor follow."""
    max_bytes: Annotated[int, Field(ge=1024, le=536_870_912)] | None = None
    """Largest message, in bytes. When absent, the sidecar's own limit, 64 MiB."""
    endpoint: Url | None = None
    """Another address of S3, such as a test server's. When absent, AWS's."""


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
    max_message_bytes: Annotated[int, Field(ge=1024, le=1_048_576)] | None = None
    """Largest message of queues and sidecars, in bytes; some versions of the provider refuse more than 262144. When
    absent, queues have the provider's own limit, and sidecars keep to that."""
    fifo: bool = False
    """Make FIFO queues: messages of a group (header x-asya-group) in order. Not to be changed once there are actors."""
    claim_check: ClaimCheck | None = None
    """S3 for larger messages. When absent, they are refused."""
    tags: dict[str, str] = {}
    """Tags of all AWS objects."""
    endpoint: Url | None = None
    """Another endpoint, such as a test server's. When absent, AWS's."""
    egress_cidr: Cidr = "0.0.0.0/0"
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
    ordered: bool = False
    """Hand out messages of a group (header x-asya-group) in order. Not to be changed once there are actors."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of all Google objects."""
    endpoint: Text | None = None
    """Another endpoint (host:port), such as an emulator's. When absent, Google's."""
    prometheus_address: Url | None = None
    """Where KEDA reads the backlog. When absent, Google's managed Prometheus of the project."""
    egress_cidr: Cidr = "0.0.0.0/0"
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
    cluster_name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$")] | None = None
    """Name of this Kubernetes cluster among those that share an AWS account or Google project: a part of the names of
    roles and service accounts, and a tag of queues and topics. When absent, it has them to itself."""
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
    look_again_seconds: Annotated[int, Field(ge=10, le=3600)] = 60
    """Seconds after which Crossplane looks at an actor again of which nothing has changed. What it does not watch, a
    flavor or the namespace's exchange, is noticed then; each look is a request to the API server per object."""
    runtime_folder: AbsolutePath = "/opt/asya"
    """Where the runtime file appears in the handler's container."""
    socket_folder: AbsolutePath = "/var/run/asya"
    """Where the socket between the two containers is."""
