"""The registry of actors: what doors and tools need to know of each, in a ConfigMap `asya-actors` per namespace.

The operator writes it; whoever may read ConfigMaps in the namespace reads it. The ConfigMap of that name in the
platform's namespace has all actors of all namespaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, ValidationError

from asya.api.fields import Model
from asya.api.status import Phase
from asya.errors import ManifestError

NAME = "asya-actors"
FILE = "actors.json"
EXPOSE, DESCRIPTION, INPUT_SCHEMA = "asya.sh/expose", "asya.sh/description", "asya.sh/input-schema"
"""Annotations of an AsyncActor: doors separated by commas, a sentence, and a JSON Schema as JSON."""

Door = Literal["http", "a2a", "mcp"]


class _Entry(Model):
    # An older reader passes over what a newer operator writes.
    model_config = ConfigDict(extra="ignore")


class Health(_Entry):
    """How the actor is."""

    ready: bool
    """Whether it takes messages and works on them."""
    phase: Phase
    """The same in one word."""
    message: str = ""
    """What is wrong, or what it waits for. When empty, nothing."""


class RegisteredActor(_Entry):
    """One actor."""

    name: str
    """Name that routes use."""
    namespace: str
    """Its namespace."""
    transport: Literal["rabbitmq", "sqs", "pubsub"] | None = None
    """Broker that carries its messages. When absent, not known yet."""
    queue: str = ""
    """Name or ARN of its queue. When empty, not known yet."""
    queue_url: str | None = None
    """Address of the queue, where the broker has one."""
    crew: bool = False
    """Whether it belongs to the platform."""
    description: str = ""
    """What it does, in its author's words."""
    input_schema: dict[str, Any] | None = None
    """JSON Schema of the payloads it takes. When absent, any."""
    expose: list[Door] = []
    """Doors of the gateway through which it can be called from outside. When empty, none."""
    health: Health
    """How it is."""


class Registry(_Entry):
    """All actors of a namespace, or of the cluster, by namespace and name."""

    version: Literal[1] = 1
    """Version of this format."""
    actors: list[RegisteredActor] = []
    """The actors."""

    def find(self, namespace: str, name: str) -> RegisteredActor | None:
        """Return an actor, or None."""
        return next((each for each in self.actors if (each.namespace, each.name) == (namespace, name)), None)


def read_registry(config_map: Mapping[str, Any]) -> Registry:
    """Return the registry that a ConfigMap holds.

    Raises:
        ManifestError: It holds none that this version reads.
    """
    try:
        return Registry.model_validate_json((config_map.get("data") or {}).get(FILE, ""))
    except ValidationError as error:
        raise ManifestError([f"{FILE} of ConfigMap {NAME} is no registry of actors: {error}"]) from error
