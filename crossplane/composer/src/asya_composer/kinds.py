"""THE list of kinds that are composed or read: RBAC, activation policy and package dependencies come from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asya_composer.settings import TransportName

Server = Literal["core", "keda", "rabbitmq", "aws", "gcp", "monitoring", "crossplane", "asya"]
"""Who serves a kind: the cluster, KEDA, the messaging topology operator, a provider, the Prometheus operator."""

_AWS, _GCP = "aws.m.upbound.io", "gcp.m.upbound.io"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object. `transport` is None where every transport needs it; `provider` is the package that has it."""

    group: str
    version: str
    kind: str
    plural: str
    server: Server
    transport: TransportName | None = None
    provider: str | None = None

    @property
    def api_version(self) -> str:
        """Group and version as objects write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """Plural and group, as CustomResourceDefinitions and activation policies name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts", "core")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", "core")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments", "core")
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets", "core")
POD_DISRUPTION_BUDGET = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "core")
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "core")
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", "keda")
TRIGGER_AUTHENTICATION = Kind("keda.sh", "v1alpha1", "TriggerAuthentication", "triggerauthentications", "keda")
POD_MONITOR = Kind("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors", "monitoring")


def _rabbitmq(kind: str, plural: str) -> Kind:
    return Kind("rabbitmq.com", "v1beta1", kind, plural, "rabbitmq", "rabbitmq")


RABBITMQ_EXCHANGE = _rabbitmq("Exchange", "exchanges")
RABBITMQ_QUEUE = _rabbitmq("Queue", "queues")
RABBITMQ_BINDING = _rabbitmq("Binding", "bindings")
RABBITMQ_POLICY = _rabbitmq("Policy", "policies")
RABBITMQ_USER = _rabbitmq("User", "users")
RABBITMQ_PERMISSION = _rabbitmq("Permission", "permissions")
RABBITMQ_TOPIC_PERMISSION = _rabbitmq("TopicPermission", "topicpermissions")


def _aws(service: str, kind: str, plural: str) -> Kind:
    return Kind(f"{service}.{_AWS}", "v1beta1", kind, plural, "aws", "sqs", f"provider-aws-{service}")


SQS_QUEUE = _aws("sqs", "Queue", "queues")
SQS_REDRIVE_POLICY = _aws("sqs", "QueueRedrivePolicy", "queueredrivepolicies")
SQS_REDRIVE_ALLOW_POLICY = _aws("sqs", "QueueRedriveAllowPolicy", "queueredriveallowpolicies")
IAM_ROLE = _aws("iam", "Role", "roles")
IAM_ROLE_POLICY = _aws("iam", "RolePolicy", "rolepolicies")


def _gcp(service: str, kind: str, plural: str) -> Kind:
    return Kind(f"{service}.{_GCP}", "v1beta1", kind, plural, "gcp", "pubsub", f"provider-gcp-{service}")


PUBSUB_TOPIC = _gcp("pubsub", "Topic", "topics")
PUBSUB_SUBSCRIPTION = _gcp("pubsub", "Subscription", "subscriptions")
PUBSUB_TOPIC_IAM_MEMBER = _gcp("pubsub", "TopicIAMMember", "topiciammembers")
PUBSUB_SUBSCRIPTION_IAM_MEMBER = _gcp("pubsub", "SubscriptionIAMMember", "subscriptioniammembers")
GCP_SERVICE_ACCOUNT = _gcp("cloudplatform", "ServiceAccount", "serviceaccounts")
GCP_SERVICE_ACCOUNT_IAM_MEMBER = _gcp("cloudplatform", "ServiceAccountIAMMember", "serviceaccountiammembers")

COMPOSED: tuple[Kind, ...] = (
    SERVICE_ACCOUNT,
    CONFIG_MAP,
    DEPLOYMENT,
    POD_DISRUPTION_BUDGET,
    NETWORK_POLICY,
    SCALED_OBJECT,
    TRIGGER_AUTHENTICATION,
    POD_MONITOR,
    RABBITMQ_EXCHANGE,
    RABBITMQ_QUEUE,
    RABBITMQ_BINDING,
    RABBITMQ_POLICY,
    RABBITMQ_USER,
    RABBITMQ_PERMISSION,
    RABBITMQ_TOPIC_PERMISSION,
    SQS_QUEUE,
    SQS_REDRIVE_POLICY,
    SQS_REDRIVE_ALLOW_POLICY,
    IAM_ROLE,
    IAM_ROLE_POLICY,
    PUBSUB_TOPIC,
    PUBSUB_SUBSCRIPTION,
    PUBSUB_TOPIC_IAM_MEMBER,
    PUBSUB_SUBSCRIPTION_IAM_MEMBER,
    GCP_SERVICE_ACCOUNT,
    GCP_SERVICE_ACCOUNT_IAM_MEMBER,
)
"""Every kind that the function may compose."""

ENVIRONMENT_CONFIG = Kind(
    "apiextensions.crossplane.io", "v1beta1", "EnvironmentConfig", "environmentconfigs", "crossplane"
)
ASYNC_ACTOR = Kind("asya.sh", "v1alpha1", "AsyncActor", "asyncactors", "asya")

READ: tuple[Kind, ...] = (ENVIRONMENT_CONFIG, ASYNC_ACTOR, SCALED_OBJECT, DEPLOYMENT, STATEFUL_SET, RABBITMQ_EXCHANGE)
"""Every kind that the function asks Crossplane to read for it."""
