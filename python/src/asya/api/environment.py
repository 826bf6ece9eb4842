"""From an actor to the environment of its two processes: shared by whoever starts them."""

from __future__ import annotations

from collections.abc import Sequence

from asya.api.actor import AsyncActor
from asya.policy import Protection
from asya.policy.protection_text import destinations_to_json, protection_to_json
from asya.policy.text import policies_to_json, rules_to_json

SINK = "x-sink"
SUMP = "x-sump"


def sidecar_environment(actor: AsyncActor, *, namespace: str, transport: str, socket_dir: str) -> dict[str, str]:
    """Return the sidecar's variables as far as the manifest gives them; those of the broker are the caller's.

    `namespace` and `transport` are what is in force (the manifest's fields may be absent). Variables of
    `spec.sidecar.env` that take their value from elsewhere are not in it; see `references`.
    """
    spec = actor.spec
    resiliency = actor.resiliency()
    found = {
        "ASYA_ACTOR_NAME": actor.name,
        "ASYA_NAMESPACE": namespace,
        "ASYA_TRANSPORT": transport,
        "ASYA_SOCKET_DIR": socket_dir,
        "ASYA_ACTOR_SINK": SINK,
        "ASYA_ACTOR_SUMP": SUMP,
        "ASYA_RESILIENCY_ACTOR_TIMEOUT": spec.resiliency.actor_timeout,
        "ASYA_DRAIN_TIMEOUT": _drain_timeout(actor),
    }
    if resiliency.policies:
        found["ASYA_RESILIENCY_POLICIES"] = policies_to_json(resiliency.policies)
    if resiliency.rules:
        found["ASYA_RESILIENCY_RULES"] = rules_to_json(resiliency.rules)
    if resiliency.non_retryable:
        found["ASYA_RESILIENCY_NON_RETRYABLE"] = ",".join(resiliency.non_retryable)
    if resiliency.protection != Protection():
        found["ASYA_RESILIENCY_PROTECTION"] = protection_to_json(resiliency.protection)
    if resiliency.destinations:
        found["ASYA_RESILIENCY_DESTINATIONS"] = destinations_to_json(resiliency.destinations)
    if spec.sidecar.concurrency is not None:
        found["ASYA_CONCURRENCY"] = str(spec.sidecar.concurrency)
    if spec.sidecar.prefetch is not None:
        found["ASYA_PREFETCH"] = str(spec.sidecar.prefetch)
    return found | {entry.name: entry.value or "" for entry in spec.sidecar.env if entry.value_from is None}


def runtime_environment(actor: AsyncActor, *, socket_dir: str, handler_path: Sequence[str] = ()) -> dict[str, str]:
    """Return the runtime's variables: ours, and those of `spec.env` that hold a value.

    `handler_path` are folders in which the handler's module is looked for first. Variables that take their value from
    elsewhere are not in it; see `references`.
    """
    runtime = actor.spec.runtime
    found = {
        "ASYA_SOCKET_DIR": socket_dir,
        "ASYA_RUNTIME_WORKERS": str(runtime.workers),
        "ASYA_ASYNC_CONCURRENCY": str(runtime.concurrency),
        "ASYA_PIPELINE": str(runtime.pipeline),
        "ASYA_LOG_LEVEL": runtime.log_level,
    }
    if actor.spec.handler is not None:
        found["ASYA_HANDLER"] = actor.spec.handler
    if handler_path:
        found["ASYA_HANDLER_PATH"] = ":".join(handler_path)
    if runtime.batch is not None:
        found["ASYA_BATCH_SIZE"] = str(runtime.batch.size)
        found["ASYA_BATCH_WAIT"] = runtime.batch.wait
    return {entry.name: entry.value or "" for entry in actor.spec.env if entry.value_from is None} | found


def references(actor: AsyncActor) -> list[str]:
    """Name what the handler takes from Secrets and the cluster, which only a cluster can supply.

    Variables by name; whole Secrets and ConfigMaps of `envFrom` as ``Secret/NAME`` and ``ConfigMap/NAME``.
    """
    spec = actor.spec
    found = [entry.name for entry in spec.env if entry.value_from is not None]
    found += [key.env_var for ref in spec.secret_refs for key in ref.keys]
    for source in spec.env_from:
        if source.secret_ref:
            found.append(f"Secret/{source.secret_ref.name}")
        if source.config_map_ref:
            found.append(f"ConfigMap/{source.config_map_ref.name}")
    return found


def _drain_timeout(actor: AsyncActor) -> str:
    """As long as a call may take, but a second less than the pod has to stop in."""
    grace = actor.spec.termination_grace_period_seconds
    return actor.spec.resiliency.actor_timeout if grace is None else f"{max(grace - 1, 1)}s"
