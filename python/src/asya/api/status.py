"""`status` of an actor, as the composition writes it; conditions are Crossplane's to add."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from asya.api.fields import Model

Phase = Literal["Creating", "Ready", "Napping", "Degraded"]
Count = Annotated[int, Field(ge=0)]


class PartStatus(Model):
    """One part of what was composed."""

    ready: bool
    """Whether all of it is ready."""
    message: str = ""
    """What it waits for, or what is wrong with it. When empty, nothing."""


class Infrastructure(Model):
    """What was composed, by part."""

    queue: PartStatus
    """Queue and dead-letter queue."""
    keda: PartStatus
    """What scales the pods."""
    workload: PartStatus
    """The pods."""


class ActorStatus(Model):
    """What became of the actor."""

    phase: Phase = "Creating"
    """In one word: `Napping` is ready with no replica, `Degraded` has something that cannot be composed."""
    observed_generation: Count = 0
    """Generation of the actor that this status is about."""
    transport: Literal["rabbitmq", "sqs", "pubsub"] | None = None
    """Broker that carries its messages. When absent, not known yet."""
    queue_identifier: str = ""
    """Name or ARN of the queue. When empty, not known yet."""
    queue_url: str | None = None
    """Address of the queue, where the broker has one. When absent, it has none."""
    replicas: Count = 0
    """Pods there are."""
    ready_replicas: Count = 0
    """Pods that take messages."""
    flavors: list[str] = []
    """Flavors that are merged in, in order."""
    message: str = ""
    """The last error. When empty, there is none."""
    checksum: str | None = None
    """Checksum of what the pods run. When absent, nothing was composed yet."""
    infrastructure: Infrastructure | None = None
    """What was composed, by part. When absent, nothing yet."""
