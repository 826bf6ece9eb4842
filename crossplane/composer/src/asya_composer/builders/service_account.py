"""ServiceAccount: who the pods are to the cluster and to the broker. One per actor, unless it names another."""

from __future__ import annotations

from collections.abc import Mapping

from asya_composer import kinds, names
from asya_composer.model import Context, Resource
from asya_composer.objects import by_existence, make

KEY = "service-account"


def service_account(context: Context, annotations: Mapping[str, str]) -> list[Resource]:
    """Return the actor's service account; none where somebody else keeps the pods' own."""
    spec = context.actor.spec
    if spec.service_account_name is not None or spec.workload_ref is not None:
        return []
    manifest = make(context, kinds.SERVICE_ACCOUNT, names.shared(context), annotations=annotations)
    # Nothing in the pod talks to the API server; cloud identities are mounted by a volume of their own.
    manifest["automountServiceAccountToken"] = False
    return [by_existence(KEY, "identity", manifest, context.observed)]
