"""Who has set a field of an object: what is ours to keep, and what would be lost if we left it out.

Whoever applies an object owns the fields that he gives, and takes away those that he leaves out and nobody else owns;
one with a default goes back to that. (Source: Kubernetes, server-side apply.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asya_composer.model import Seen

COMPOSED = "apiextensions.crossplane.io/composed"
"""How Crossplane's name begins as the owner of what it composes. See FieldOwnerComposedPrefix of its source."""


def owners(seen: Seen, *path: str) -> set[str]:
    """Return the names of all who own the field at `path`, such as ("spec", "replicas")."""
    return {manager for manager, fields in _entries(seen) if _owned(fields, path) is not None}


def is_only_ours(seen: Seen, *path: str) -> bool:
    """Tell whether the field would be lost if it were left out: Crossplane owns it, and nobody else does."""
    found = owners(seen, *path)
    return bool(found) and all(name.startswith(COMPOSED) for name in found)


def is_paused_by_us(deployment: Seen) -> bool:
    """Tell whether the Deployment is paused, and nobody but Crossplane says so."""
    spec = deployment.get("spec")
    if not isinstance(spec, Mapping) or spec.get("paused") is not True:
        return False
    return is_only_ours(deployment, "spec", "paused") or not is_told(deployment)


def is_told(seen: Seen) -> bool:
    """Tell whether the object says who owns what; kubectl leaves it out, for one."""
    return next(_entries(seen), None) is not None


def ours(seen: Seen, name: str) -> Mapping[str, Any]:
    """Return labels or annotations (`name`) that Crossplane has set; all where it is not told whose they are."""
    metadata = seen.get("metadata")
    values = metadata.get(name) if isinstance(metadata, Mapping) else None
    if not isinstance(values, Mapping):
        return {}
    if not is_told(seen):
        return dict(values)
    known = [
        fields
        for manager, entry in _entries(seen)
        if manager.startswith(COMPOSED) and (fields := _owned(entry, ("metadata", name))) is not None
    ]
    return {key: value for key, value in values.items() if any(f"f:{key}" in fields for fields in known)}


def _entries(seen: Seen) -> Iterator[tuple[str, Mapping[str, Any]]]:
    metadata = seen.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    for entry in entries if isinstance(entries, Sequence) else ():
        fields = entry.get("fieldsV1") if isinstance(entry, Mapping) else None
        if isinstance(fields, Mapping):
            yield str(entry.get("manager")), fields


def _owned(fields: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any] | None:
    found: Any = fields
    for name in path:
        found = found.get(f"f:{name}") if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None
