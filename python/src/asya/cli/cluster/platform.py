"""What of a Composition's input says how brokers are reached.

The whole input is `asya_composer.settings`; this reads the part that a sender needs, with a cluster's newer fields
passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, ValidationError

from asya.api.fields import Model
from asya.cli.cluster.api import Cluster
from asya.cli.cluster.errors import ClusterError

GROUP, KIND = "composer.asya.sh", "Input"
_TLS_PORT, _PORT = 5671, 5672


class _Part(Model):
    model_config = ConfigDict(extra="ignore")


class KeyReference(_Part):
    """A key of a ConfigMap in the actor's namespace."""

    name: str
    """Name of the ConfigMap."""
    key: str
    """Key in it."""


class BrokerReference(_Part):
    """Where the broker's administrator is: a Secret, or that of a RabbitmqCluster."""

    namespace: str = "asya-system"
    """Namespace of both."""
    name: str | None = None
    """The RabbitmqCluster. When absent, there is `connectionSecret`."""
    connection_secret: str | None = None
    """The Secret. When absent, there is `name`."""

    @property
    def secret(self) -> str:
        """Name of the Secret; its operator calls a RabbitmqCluster's <name>-default-user."""
        return self.connection_secret or f"{self.name}-default-user"


class Rabbitmq(_Part):
    """RabbitMQ."""

    cluster: BrokerReference
    """The broker's administrator."""
    host: str
    """Hosts, separated by commas."""
    port: int | None = None
    """Port of hosts that name none. When absent, 5671 with `tls`, else 5672."""
    vhost: str = "/"
    """Virtual host."""
    tls: bool = False
    """Whether connections are encrypted."""
    ca: KeyReference | None = None
    """Authorities to trust. When absent, the system's."""

    @property
    def amqp_port(self) -> int:
        """The port."""
        return self.port or (_TLS_PORT if self.tls else _PORT)


class Pubsub(_Part):
    """Pub/Sub."""

    project: str
    """Project of the topics."""
    endpoint: str | None = None
    """Another endpoint than Google's. When absent, Google's."""


class Transports(_Part):
    """The brokers of the platform."""

    rabbitmq: Rabbitmq | None = None
    """RabbitMQ. When absent, there is none."""
    pubsub: Pubsub | None = None
    """Pub/Sub. When absent, there is none."""


class PlatformInput(_Part):
    """The input."""

    transports: Transports
    """The brokers."""


def transports_of(cluster: Cluster, composition: str | None) -> Transports:
    """Return the brokers that a Composition knows.

    Raises:
        ClusterError: It cannot be read, or is not one of ours.
    """
    if composition is None:
        raise ClusterError(
            "Crossplane has not chosen a Composition for the actor yet; `asya ps` says what it waits for"
        )
    found = cluster.get("compositions", composition)
    if found is None:
        raise ClusterError(f"context {cluster.context} has no Composition {composition}, which the actor names")
    given = next((each["input"] for each in found["spec"].get("pipeline") or () if _is_ours(each.get("input"))), None)
    if given is None:
        raise ClusterError(
            f"Composition {composition} has no step with an {KIND} of {GROUP}: it does not say how to send"
        )
    try:
        return PlatformInput.model_validate(given).transports
    except ValidationError as error:
        raise ClusterError(f"the input of Composition {composition} cannot be read: {error}") from None


def _is_ours(given: Mapping[str, Any] | None) -> bool:
    return given is not None and given.get("kind") == KIND and str(given.get("apiVersion")).startswith(f"{GROUP}/")
