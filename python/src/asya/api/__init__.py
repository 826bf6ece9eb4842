"""What people write: `AsyncActor` manifests.

Belongs here: the models, the rules across their fields, reading manifests with all their problems, and what an actor
means to the processes that run it. Does not belong here: running anything (`asya.local`), brokers (`asya.transports`).
"""

from asya.api.actor import ActorSpec, AsyncActor, Metadata, Source
from asya.api.environment import references, runtime_environment, sidecar_environment
from asya.api.manifest import Manifests, load_manifests, parse_manifests, read_manifests
from asya.api.problems import Problem

__all__ = [
    "ActorSpec",
    "AsyncActor",
    "Manifests",
    "Metadata",
    "Problem",
    "Source",
    "load_manifests",
    "parse_manifests",
    "read_manifests",
    "references",
    "runtime_environment",
    "sidecar_environment",
]
