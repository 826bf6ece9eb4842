"""A managed resource: what is wanted of a cloud, as Crossplane's providers read it from the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from asya_composer.kinds import Kind

Manifest = dict[str, Any]
EXTERNAL_NAME = "crossplane.io/external-name"
FINALIZER = "finalizer.managedresource.crossplane.io"
POLICIES = frozenset(
    frozenset(each.split())
    for each in (
        "*",
        "Observe Create Update LateInitialize Delete",
        "Observe Create Update Delete",
        "Observe Create Update LateInitialize",
        "Observe Create Update",
        "Observe Create LateInitialize Delete",
        "Observe Create LateInitialize",
        "Observe Create Delete",
        "Observe Create",
        "Observe Update",
        "Observe Delete",
        "Observe",
        "",
    )
)
"""The sets of management policies that providers take, others they refuse: crossplane-runtime, reconciler/managed."""


class CloudError(Exception):
    """The cloud refused; the text is what it said."""


@dataclass(frozen=True)
class Managed:
    """One object of a provider's kind as the cluster holds it."""

    kind: Kind
    manifest: Manifest

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.manifest["metadata"]["namespace"])

    @property
    def version(self) -> str:
        """Another one after each change of the object."""
        return str(self.manifest["metadata"]["resourceVersion"])

    @property
    def wanted(self) -> Manifest:
        """`spec.forProvider`."""
        found: Manifest = self.manifest["spec"]["forProvider"]
        return found

    @property
    def external_name(self) -> str | None:
        """The thing's name at the cloud, or None where the cloud has yet to say it."""
        found: str | None = self.manifest["metadata"].get("annotations", {}).get(EXTERNAL_NAME)
        return found

    @property
    def is_deleted(self) -> bool:
        """Whether somebody has asked to delete the object."""
        return "deletionTimestamp" in self.manifest["metadata"]

    @property
    def finalizers(self) -> list[str]:
        return list(self.manifest["metadata"].get("finalizers", ()))

    @property
    def at_provider(self) -> Manifest:
        """`status.atProvider`: what was seen last."""
        found: Manifest = self.manifest.get("status", {}).get("atProvider", {})
        return found

    def may(self, action: str) -> bool:
        """Whether the management policies allow `action`, such as ``Delete``."""
        return bool({"*", action} & self.policies)

    @property
    def policies(self) -> frozenset[str]:
        """The management policies; an empty set pauses."""
        return frozenset(self.manifest["spec"]["managementPolicies"])


@dataclass(frozen=True)
class Observation:
    """What is there: `at_provider` for the status, whether it is `as_wanted`, and `late`: fields to fill in."""

    at_provider: Manifest
    as_wanted: bool
    late: Manifest = field(default_factory=dict)


class External(Protocol):
    """What one kind is at its cloud. Every method may raise `CloudError`."""

    def observe(self, managed: Managed) -> Observation | None:
        """Return what is there, or None when nothing is."""

    def create(self, managed: Managed) -> str:
        """Make it; return its external name."""

    def update(self, managed: Managed) -> None:
        """Make what is there as it is wanted."""

    def delete(self, managed: Managed) -> None:
        """Remove it; nothing is there already is no error."""


@dataclass(frozen=True)
class Reference:
    """A field of `forProvider` that may name another object instead: `path` is given by `<path>Ref`.

    `by_id`: the field takes the other's `status.atProvider.id`, else its external name.
    """

    path: tuple[str, ...]
    kind: Kind
    by_id: bool

    def value_from(self, other: Manifest) -> str | None:
        """Return what the other object is called at the cloud, once it is known."""
        if self.by_id:
            found: str | None = other.get("status", {}).get("atProvider", {}).get("id")
            return found
        return Managed(self.kind, other).external_name


@dataclass(frozen=True)
class Service:
    """How a kind is carried out. `named`: its external name is the object's own name unless an annotation says else."""

    external: External
    references: tuple[Reference, ...] = ()
    named: bool = False


def differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return which wanted fields the cloud has otherwise."""
    return sorted(name for name, value in wanted.items() if found.get(name) != value)
