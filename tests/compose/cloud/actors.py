"""Actors on the clouds, and what they are composed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asya.api.check import check
from asya.api.crossrule import CREW_LABEL
from asya.api.rules_mesh import CREW
from asya_composer.model import Context, Manifest, Observed, Resource
from asya_composer.settings import Settings, TransportName
from asya_composer.transports import transport

ACCOUNT = "123456789012"
SQS: Manifest = {
    "region": "eu-west-1",
    "accountId": ACCOUNT,
    "oidcProvider": "oidc.eks.eu-west-1.amazonaws.com/id/AB12",
}
PUBSUB: Manifest = {"project": "mesh-prod", "projectNumber": "456789"}


def settings(name: TransportName, *, own: Mapping[str, Any] | None = None, **changes: Any) -> Settings:
    """The platform's settings with both clouds; `own` changes those of the cloud `name`."""
    transports = {"sqs": SQS, "pubsub": PUBSUB}
    transports[name] = {**transports[name], **(own or {})}
    sidecar = {"repository": "ghcr.io/example/asya-sidecar", "tag": "0.1.0"}
    document = {"defaultTransport": name, "transports": transports, "sidecar": sidecar, **changes}
    return Settings.model_validate(document)


def context(
    name: TransportName,
    actor: str = "resize",
    *,
    namespace: str = "shop",
    platform: Settings | None = None,
    observed: Mapping[str, Manifest] | None = None,
    neighbours: Sequence[str] = (),
    **spec: Any,
) -> Context:
    """One actor on a cloud."""
    manifest = {
        "apiVersion": "asya.sh/v1alpha1",
        "kind": "AsyncActor",
        "metadata": {"name": actor, "namespace": namespace, "labels": {CREW_LABEL: "true"} if actor in CREW else {}},
        "spec": {"image": "ghcr.io/example/resize:1.4.0", "handler": "resize.process", **spec},
    }
    found, problems = check(manifest)
    assert found is not None, problems
    assert not problems, problems
    return Context(
        actor=found,
        composite=manifest,
        namespace=namespace,
        transport=name,
        labels={"asya.sh/actor": actor},
        settings=platform or settings(name),
        observed=Observed(observed or {}),
        neighbours=neighbours,
    )


def composed(context: Context) -> dict[str, Resource]:
    """What the transport makes, by key."""
    found = transport(context.transport).resources(context)
    assert len({each.key for each in found}) == len(found)
    return {each.key: each for each in found}


def wanted(context: Context) -> dict[str, Manifest]:
    """`forProvider` of what the transport makes, by key."""
    return {key: each.manifest["spec"]["forProvider"] for key, each in composed(context).items()}


def at_work(manifest: Manifest, **at_provider: str) -> Manifest:
    """An object as it is once its provider has made it."""
    conditions = [{"type": kind, "status": "True", "reason": "Available"} for kind in ("Ready", "Synced")]
    return {**manifest, "status": {"conditions": conditions, "atProvider": at_provider}}


def queues_at_work(context: Context) -> dict[str, Manifest]:
    """Both SQS queues, made."""
    found = {}
    for key in ("queue", "dead-letter-queue"):
        manifest = composed(context)[key].manifest
        name = manifest["spec"]["forProvider"]["name"]
        url = f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/{name}"
        found[key] = at_work(manifest, arn=f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{name}", url=url)
    return found
