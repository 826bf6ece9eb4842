"""From manifests to what runs on this machine: environment, queue, scaling of each actor; what has no effect here."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asya.api import ActorSpec, AsyncActor, Manifests, references, runtime_environment, sidecar_environment
from asya.api.environment import SINK, SUMP
from asya.errors import ManifestError
from asya.local.autoscale import Scaling
from asya.policy.resiliency import DEFAULT_ACTOR_TIMEOUT
from asya.transports import QueueSpec

LOCAL_POLLING_SECONDS = 1.0
"""`pollingInterval` where the manifest does not write one; KEDA's own is 30 s."""
LOCAL_SQS_WAIT = "2s"
"""`ASYA_SQS_WAIT` where nobody sets it. A poll cannot be broken off, and its 20 s would be what Ctrl-C takes."""
CREW_COOLDOWN_SECONDS = 30.0
_CREW_PIPELINE = 31
_DRAIN_MARGIN_SECONDS = 5.0
_DEFAULT_PYTHON = "python3"
_CREW_SETTINGS = ("ASYA_CHECKPOINT_URL", "ASYA_SINK_HOOKS")
# What a cluster does with a pod and one machine does not; said once for all actors.
_WITHOUT_EFFECT = (
    "image", "image_pull_policy", "image_pull_secrets", "resources", "ports", "probes", "security_context",
    "service_account_name", "node_selector", "tolerations", "affinity", "topology_spread_constraints",
    "priority_class_name", "runtime_class_name", "pod_security_context", "pod_labels", "pod_annotations",
    "host_aliases", "strategy", "tracing", "transport", "pod_disruption_budget", "network_policy", "pod_monitor",
)  # fmt: skip
# What a handler may miss: said for each actor.
_MISSING_HERE = (
    "volumes", "volume_mounts", "init_containers", "sidecars", "state_proxy", "command", "args", "flavors",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorPlan:
    """One actor as it runs here. `grace_seconds` is how long a replica may take to stop."""

    name: str
    handler: str
    python: str
    scaling: Scaling
    queue: QueueSpec
    grace_seconds: float
    sidecar_env: Mapping[str, str]
    runtime_env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshPlan:
    """Everything that runs here. `actors` have queues and processes, `idle` ones only queues."""

    namespace: str
    actors: tuple[ActorPlan, ...]
    idle: tuple[ActorPlan, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def make_plan(
    manifests: Manifests,
    folder: Path,
    *,
    transport: str,
    namespace: str | None,
    only: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    environ: Mapping[str, str],
) -> MeshPlan:
    """Plan the actors of `manifests`, which were read from `folder`.

    Args:
        manifests: What was read; its problems count too.
        folder: Where handlers are looked for: ``folder/<actor>/``, then the manifest's own folder.
        transport: Name of the transport in force.
        namespace: The namespace to run; when None, the one that all manifests agree on, else `default`.
        only: Actors to run; all when empty. The others only get their queues.
        variables: Stand-ins for Secrets and ConfigMaps; None when there is no such file.
        environ: This process's environment; the processes inherit it without variables of ours.

    Raises:
        ManifestError: With all problems.
    """
    problems = [str(problem) for problem in manifests.problems]
    actors, chosen, notes = _in_namespace(manifests.actors, namespace, problems)
    names = [actor.name for actor in actors] + [SINK, SUMP]
    for actor in actors:
        problems += _problems(actor, names, transport)
    problems += [_unknown(name, names) for name in only if name not in names]
    if problems:
        raise ManifestError(problems)
    base = {name: value for name, value in environ.items() if not name.startswith("ASYA_")} | {"PYTHONUNBUFFERED": "1"}
    warnings: list[str] = []
    plans = [
        _plan(actor, folder, base, namespace=chosen, transport=transport, variables=variables, warnings=warnings)
        for actor in actors
    ]
    own = {plan.name for plan in plans}
    crew_env = base | {name: environ[name] for name in _CREW_SETTINGS if name in environ}
    plans += [_crew(name, crew_env, namespace=chosen, transport=transport) for name in (SINK, SUMP) if name not in own]
    running = [plan for plan in plans if not only or plan.name in only or plan.name in (SINK, SUMP)]
    return MeshPlan(
        namespace=chosen,
        actors=tuple(running),
        idle=tuple(plan for plan in plans if plan not in running),
        warnings=tuple(warnings),
        notes=(*manifests.notes, *notes, *_without_effect(actors)),
    )


def _in_namespace(
    actors: Sequence[AsyncActor], namespace: str | None, problems: list[str]
) -> tuple[list[AsyncActor], str, list[str]]:
    found = {actor.namespace_or(namespace or "default") for actor in actors}
    if namespace is None and len(found) > 1:
        listed = ", ".join(f"{actor.name} in {actor.namespace_or('default')}" for actor in actors)
        problems.append(f"`asya up` runs one namespace at a time, and there are several ({listed}); give --namespace")
        return list(actors), "default", []
    chosen = namespace or next(iter(found), "default")
    kept = [actor for actor in actors if actor.namespace_or(chosen) == chosen]
    left = [
        f"{actor.name} is left out: its namespace is {actor.metadata.namespace}"
        for actor in actors
        if actor not in kept
    ]
    if actors and not kept:
        problems.append(f"no actor is in namespace {chosen}: {'; '.join(left)}")
    return kept, chosen, left


def _problems(actor: AsyncActor, names: Sequence[str], transport: str) -> Iterable[str]:
    place = f"{actor.source.file}:{actor.source.line}"
    if actor.spec.handler is None:
        why = "flavors are resolved" if actor.spec.workload_ref is None else "a workload's pods are called"
        yield f"{place}: spec.handler: missing; {why} in a cluster, here every actor names its handler"
    if transport != "sqlite":
        return  # other actors of the namespace may live elsewhere
    for name in sorted(actor.resiliency().destinations.keys() - set(names)):
        yield f"{place}: spec.resiliency.destinations: {_unknown(name, names)}"
    for name, policy in sorted(actor.resiliency().policies.items()):
        for target in policy.on_exhausted:
            if target not in names:
                yield f"{place}: spec.resiliency.policies.{name}.onExhausted: {_unknown(target, names)}"


def _unknown(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(names))}"
    return f"there is no actor {name!r}; {hint}"


def _plan(
    actor: AsyncActor,
    folder: Path,
    base: Mapping[str, str],
    *,
    namespace: str,
    transport: str,
    variables: Mapping[str, str] | None,
    warnings: list[str],
) -> ActorPlan:
    spec = actor.spec
    timeout = actor.resiliency().actor_timeout
    paths = dict.fromkeys(
        str(path.resolve()) for path in (folder / actor.name, actor.source.file.parent) if path.is_dir()
    )
    runtime_env = runtime_environment(actor, socket_dir="", handler_path=list(paths))
    missing = [name for name in _MISSING_HERE if name in spec.model_fields_set]
    if missing:
        warnings.append(f"{actor.name}: {_fields(missing)} {'is' if len(missing) == 1 else 'are'} not available here")
    supplied = _supply(actor, base, variables, warnings)
    unsupported = [entry.name for entry in spec.sidecar.env if entry.value_from is not None]
    if unsupported:
        warnings.append(
            f"{actor.name}: spec.sidecar.env valueFrom is not supported here: {', '.join(unsupported)} not set"
        )
    grace = spec.termination_grace_period_seconds
    return ActorPlan(
        name=actor.name,
        handler=spec.handler or "",
        python=sys.executable if spec.python_executable == _DEFAULT_PYTHON else spec.python_executable,
        scaling=scaling_of(spec),
        queue=QueueSpec(actor=actor.name, delivery_limit=spec.queue.delivery_limit, call_seconds=timeout),
        grace_seconds=float(grace) if grace is not None else timeout + _DRAIN_MARGIN_SECONDS,
        sidecar_env={
            **base,
            **_local_waits(transport),
            **sidecar_environment(actor, namespace=namespace, transport=transport, socket_dir=""),
        },
        runtime_env={**base, **supplied, **runtime_env},
    )


def scaling_of(spec: ActorSpec) -> Scaling:
    """Return what the autoscaler reads of a manifest."""
    scaling = spec.scaling
    fixed = scaling.paused_replica_count if scaling.enabled else spec.replicas
    return Scaling(
        min_replicas=scaling.min_replica_count,
        max_replicas=scaling.max_replica_count,
        idle_replicas=scaling.idle_replica_count,
        queue_length=scaling.queue_length,
        activation=scaling.activation_queue_length,
        polling_interval=float(scaling.polling_interval)
        if "polling_interval" in scaling.model_fields_set
        else LOCAL_POLLING_SECONDS,
        cooldown=float(scaling.cooldown_period),
        initial_cooldown=float(scaling.initial_cooldown_period),
        scale_on_in_flight=scaling.scale_on_in_flight,
        scale_on_delayed=scaling.scale_on_delayed,
        fixed=fixed,
        paused=scaling.paused,
    )


def _supply(
    actor: AsyncActor, base: Mapping[str, str], variables: Mapping[str, str] | None, warnings: list[str]
) -> dict[str, str]:
    """Stand in for Secrets and ConfigMaps: by variable name from the file, else from our own environment."""
    wanted = references(actor)
    found: dict[str, str] = dict(variables or {}) if any("/" in name for name in wanted) else {}
    found |= {name: variables[name] for name in wanted if variables and name in variables}
    names = [name for name in wanted if "/" not in name and name not in found and name not in base]
    whole = [name for name in wanted if "/" in name] if variables is None else []
    if names or whole:
        warnings.append(
            f"{actor.name}: nothing supplies {', '.join(names + whole)}; "
            "write NAME=value lines into DIR/.env, or give --env-file"
        )
    return found


def _crew(name: str, base: Mapping[str, str], *, namespace: str, transport: str) -> ActorPlan:
    module = name.removeprefix("x-")
    handler = f"asya.crew.{module}.handle"
    ours = {"ASYA_ACTOR_SINK": SINK, "ASYA_ACTOR_SUMP": SUMP}
    return ActorPlan(
        name=name,
        handler=handler,
        python=sys.executable,
        scaling=Scaling(
            max_replicas=1, queue_length=1000, polling_interval=LOCAL_POLLING_SECONDS, cooldown=CREW_COOLDOWN_SECONDS
        ),
        queue=QueueSpec(actor=name),
        grace_seconds=DEFAULT_ACTOR_TIMEOUT + _DRAIN_MARGIN_SECONDS,
        sidecar_env={
            **{key: value for key, value in base.items() if key not in _CREW_SETTINGS},
            **_local_waits(transport),
            **ours,
            "ASYA_ACTOR_NAME": name,
            "ASYA_NAMESPACE": namespace,
            "ASYA_TRANSPORT": transport,
        },
        # Every message ends here, and each waits until its final report is durable: so many wait side by side.
        runtime_env={**base, **ours, "ASYA_HANDLER": handler, "ASYA_PIPELINE": str(_CREW_PIPELINE)},
    )


def _local_waits(transport: str) -> dict[str, str]:
    return {"ASYA_SQS_WAIT": LOCAL_SQS_WAIT} if transport == "sqs" else {}


def _without_effect(actors: Sequence[AsyncActor]) -> list[str]:
    counts = {name: sum(name in actor.spec.model_fields_set for actor in actors) for name in _WITHOUT_EFFECT}
    said = [name for name, count in counts.items() if count]
    return [f"without effect on one machine: {_fields(said)}"] if said else []


def _fields(names: Sequence[str]) -> str:
    spelt = [ActorSpec.model_fields[name].alias or name for name in names]
    return ", ".join(f"spec.{name}" for name in spelt)
