"""What people are told: Events on the object they wrote. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from asya.operator.identity import FIELD_MANAGER, Manifest

MESSAGE_LENGTH = 1024
"""The API server takes no longer message."""


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that an event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Regarding:
        """Return the reference to an object as the API server gives it."""
        metadata = manifest["metadata"]
        namespace, uid = metadata.get("namespace", ""), metadata.get("uid", "")
        return cls(manifest["apiVersion"], manifest["kind"], namespace, metadata["name"], uid)


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `reason` is one word in CamelCase, `message` whole sentences; one that lasts has a `name`."""

    regarding: Regarding
    reason: str
    message: str
    kind: Literal["Normal", "Warning"] = "Warning"
    name: str = ""

    def manifest(self, now: datetime, *, since: datetime | None = None, count: int = 1) -> Manifest:
        """Return the object (core/v1 Event); without a name of its own the API server completes it."""
        about = self.regarding
        first, last = ((each or now).strftime("%Y-%m-%dT%H:%M:%SZ") for each in (since, now))
        reference = {"apiVersion": about.api_version, "kind": about.kind, "name": about.name, "uid": about.uid}
        reference["namespace"] = about.namespace
        text = self.message
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                **({"name": self.name} if self.name else {"generateName": f"{about.name[:50]}."}),
                "namespace": about.namespace,
            },
            "involvedObject": {key: value for key, value in reference.items() if value},
            "reason": self.reason,
            "message": text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…",
            "type": self.kind,
            "firstTimestamp": first,
            "lastTimestamp": last,
            "count": count,
            "source": {"component": FIELD_MANAGER},
        }
