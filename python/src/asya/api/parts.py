"""Our own parts of `spec`: queue, runtime, sidecar, tracing, state."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from asya.api.fields import MAX_LIST, AbsolutePath, Duration, Label, Model, PullPolicy, Text, Url
from asya.api.pod import ContainerImage, EnvVar, Resources

DEFAULT_DELIVERY_LIMIT = 50


class QueueSpec(Model):
    """The actor's queue. It belongs to the actor, not to its pods."""

    deletion_policy: Literal["DeleteIfEmpty", "Delete", "Retain"] = "DeleteIfEmpty"
    """What becomes of the queue when the actor is deleted: kept while it holds messages, deleted with them, or kept."""
    delivery_limit: Annotated[int, Field(ge=1, le=1000)] = DEFAULT_DELIVERY_LIMIT
    """Deliveries of one message without settlement before the broker moves it to the dead-letter queue."""


class BatchSpec(Model):
    """Calls of a batch handler: it takes a list of payloads and returns a list of as many results."""

    size: Annotated[int, Field(ge=2, le=100_000)]
    """Most payloads in one call."""
    wait: Duration = "50ms"
    """How long a batch waits to be full, counted from its first payload."""


class RuntimeSpec(Model):
    """The process that calls your handler."""

    workers: Annotated[int, Field(ge=1, le=1024)] = 1
    """Worker processes, for functions that keep a core busy. Each imports the handler, and loads its model, once."""
    concurrency: Annotated[int, Field(ge=1, le=100_000)] = 64
    """Calls side by side in one worker, for async handlers; others run one at a time."""
    batch: BatchSpec | None = None
    """Hand payloads over in lists. When absent, the handler is called with one payload at a time."""
    pipeline: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Calls sent ahead to a worker that runs one at a time, so that it never waits for the next; for short calls."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that the runtime logs."""


class SidecarSpec(Model):
    """The process beside the handler that moves messages."""

    image: ContainerImage = ContainerImage()
    """Its image, where it differs from the platform's."""
    env: Annotated[list[EnvVar], Field(max_length=MAX_LIST)] = []
    """Settings of the sidecar that have no field of their own."""
    resources: Resources | None = None
    """Its compute resources. When absent, the platform's."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Calls under way at once in a pod. When absent, what the runtime's workers offer together."""
    prefetch: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Messages held at once in a pod, those under way included. When absent, as many as calls."""


class TracingSpec(Model):
    """Where spans go."""

    endpoint: Url
    """OTLP endpoint."""
    protocol: Literal["grpc", "http/protobuf", "http"] = "grpc"
    """How they are sent; `http` is short for http/protobuf."""


class StateMount(Model):
    """Where the state appears."""

    path: AbsolutePath
    """Folder in the handler's container."""


class Connector(Model):
    """The container that talks to the store."""

    image: Text
    """Its image."""
    image_pull_policy: PullPolicy = "IfNotPresent"
    """When the image is pulled."""
    env: Annotated[list[EnvVar], Field(max_length=MAX_LIST)] = []
    """Its environment variables."""
    resources: Resources | None = None
    """Its compute resources. When absent, the platform's."""


class StateProxy(Model):
    """State outside the pod (object store, Redis, database) as files in a folder."""

    name: Annotated[Label, Field(max_length=52)]
    """Its name. Its container and volume are called after it, with a beginning of ours."""
    mount: StateMount
    """Where it appears."""
    write_mode: Literal["buffered", "passthrough"] = "buffered"
    """`buffered` writes when the file is closed, `passthrough` as it is written."""
    connector: Connector
    """The container that talks to the store."""
