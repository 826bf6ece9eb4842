"""How the Deployment goes on from the one that is there: its replicas, its pods' credentials, its progress."""

from __future__ import annotations

from asya_composer.model import Context, Observed
from asya_composer.ownership import is_only_ours

KEY = "deployment"
CREDENTIALS = "asya.sh/credentials"
"""Of the Deployment: the credentials that its pods have. Of the pods: those that they were made again for."""


def replicas(context: Context) -> dict[str, int]:
    """Return `replicas` where they are ours to say: a fixed number, or what was one until the autoscaler has it.

    Who leaves out what he alone has set takes it away, and a Deployment without `replicas` has one.
    """
    spec, there = context.actor.spec, context.observed.get(KEY)
    if not spec.scaling.enabled:
        return {"replicas": spec.replicas}
    if there is None or not is_only_ours(there, "spec", "replicas"):
        return {}
    return {"replicas": context.observed.number(KEY, "spec", "replicas")}


def credentials(context: Context, now: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return annotations of the Deployment and of its pods, such that other credentials restart the pods.

    A variable from a Secret keeps its value as long as the container lives. The Deployment is made before credentials
    are known, and its first pods start with them; so the first ones restart nothing.
    """
    observed = context.observed
    before = observed.at(KEY, "metadata", "annotations", CREDENTIALS)
    started = observed.at(KEY, "spec", "template", "metadata", "annotations", CREDENTIALS)
    known = now or before
    if now and before and now != before:
        started = now
    return ({CREDENTIALS: known} if known else {}), ({CREDENTIALS: started} if started else {})


def complaint(observed: Observed) -> str:
    """Say what the Deployment's controller cannot do, empty when it complains about nothing."""
    for kind, bad in (("ReplicaFailure", "True"), ("Progressing", "False")):
        condition = observed.condition(KEY, kind)
        if condition is not None and condition.status == bad:
            return f"Deployment: {condition.message or condition.reason}"
    return ""


def waits_for(observed: Observed) -> str:
    """Say what is missing; a Deployment of no replicas has all of them."""
    if observed.get(KEY) is None:
        return "Deployment is being created"
    if observed.at(KEY, "status", "observedGeneration") != observed.at(KEY, "metadata", "generation"):
        return "Deployment has not been looked at by its controller"
    wanted = 1 if observed.at(KEY, "spec", "replicas") is None else observed.number(KEY, "spec", "replicas")
    there = observed.number(KEY, "status", "availableReplicas")
    return f"{there} of {wanted} replicas are available" if there < wanted else ""
