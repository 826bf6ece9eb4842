"""Deployment: the pods. A KEDA-scaled one has no `replicas`, or every reconcile would undo the scaling."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence

from asya_composer import kinds, names
from asya_composer.builders import birth, containers, rollout
from asya_composer.builders.containers import without_nothing
from asya_composer.builders.environment import dump, each
from asya_composer.builders.selection import own_pods
from asya_composer.model import Context, Manifest, PodAccess, Resource
from asya_composer.objects import make

KEY = rollout.KEY
CHECKSUM = "asya.sh/checksum"
GRACE_MARGIN = 30
"""Seconds beyond the longest call in which results are published and deliveries settled."""


def deployment(context: Context, access: PodAccess, needs: Sequence[str] = ()) -> Resource:
    """Return the Deployment. `needs` is what queue and identity lack, without which it has no pods at first."""
    spec = context.actor.spec
    of_deployment, of_pods = rollout.credentials(context, access.credentials)
    template = _template(context, access)
    template["metadata"]["annotations"] |= of_pods
    digest = checksum(template)
    template["metadata"]["annotations"][CHECKSUM] = digest
    unborn = birth.waits_for(context, needs)
    manifest = make(
        context,
        kinds.DEPLOYMENT,
        names.workload(context),
        {
            **rollout.replicas(context),
            **({"paused": True} if unborn else {}),
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": own_pods(context)},
            "strategy": dump(spec.strategy),
            "template": template,
        },
        # Pods that are still to start have no credentials that could be old, and each write makes the controller look.
        annotations={**({} if unborn else of_deployment), CHECKSUM: digest},
    )
    error = rollout.complaint(context.observed)
    why = error or unborn or rollout.waits_for(context.observed)
    return Resource(KEY, "workload", manifest, ready=not why, why=why, error=error)


def checksum(values: Manifest) -> str:
    """Return a short digest of what pods are made from."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def grace_period(context: Context) -> int:
    """Return how long a pod may take to stop, in seconds."""
    given = context.actor.spec.termination_grace_period_seconds
    return math.ceil(context.actor.resiliency().actor_timeout) + GRACE_MARGIN if given is None else given


def _template(context: Context, access: PodAccess) -> Manifest:
    spec, pods = context.actor.spec, context.settings.pods
    pull_secrets = {entry.name: dump(entry) for entry in (*pods.image_pull_secrets, *spec.image_pull_secrets)}
    pod: Manifest = {
        "serviceAccountName": names.service_account(context),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_period(context),
        "securityContext": containers.over(pods.pod_security_context, spec.pod_security_context),
        "imagePullSecrets": list(pull_secrets.values()),
        "nodeSelector": spec.node_selector,
        "tolerations": each(spec.tolerations),
        "affinity": spec.affinity,
        "topologySpreadConstraints": [
            {"labelSelector": {"matchLabels": own_pods(context)}, **without_nothing(dump(entry))}
            for entry in spec.topology_spread_constraints
        ],
        "priorityClassName": spec.priority_class_name,
        "runtimeClassName": spec.runtime_class_name,
        "hostAliases": each(spec.host_aliases),
        # In the order in which they start: people's own first, as they may take long; what the handler needs after.
        "initContainers": [
            *containers.of_people(context, spec.init_containers),
            *containers.connectors(context),
            containers.sidecar(context, access),
        ],
        "containers": [containers.handler(context), *containers.of_people(context, spec.sidecars)],
        "volumes": containers.volumes(context, access),
    }
    labels = {**context.labels, **pods.labels, **spec.pod_labels, **access.labels, **own_pods(context)}
    annotations = {"kubectl.kubernetes.io/default-container": containers.HANDLER}
    return {
        "metadata": {"labels": labels, "annotations": {**annotations, **pods.annotations, **spec.pod_annotations}},
        "spec": without_nothing(pod),
    }
