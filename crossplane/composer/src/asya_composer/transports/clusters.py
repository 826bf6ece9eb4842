"""Clusters that share a cloud account: names at the broker do not tell whose a queue is."""

from __future__ import annotations

from dataclasses import replace

from asya_composer.model import Context, Resource


def only_own(context: Context, found: Resource, mark: str, place: str) -> Resource:
    """Return `found`, or, where it bears another cluster's mark, the same to be looked at only.

    `mark` is the tag or label with the cluster's name, `place` the field of `status.atProvider` that holds such. The
    other cluster's queue is neither written nor deleted, and the actor is told.
    """
    own = context.settings.cluster_name
    other = context.observed.at(found.key, "status", "atProvider", place, mark)
    if own is None or other in (None, own):
        return found
    kind, spec = found.manifest["kind"], {**found.manifest["spec"], "managementPolicies": ["Observe"]}
    error = f"{kind} is another cluster's: {mark} is {other}, and this is {own}; give the actor another name"
    return replace(found, manifest={**found.manifest, "spec": spec}, ready=False, why=error, error=error)
