"""Why a Pod does not run, read from its status as the kubelet and the scheduler write it. Pure.

Names of states and reasons: kubelet `pkg/kubelet/container/sync_result.go` and `pkg/kubelet/images/types.go`,
scheduler `PodReasonUnschedulable`, container runtimes `OOMKilled`, `StartError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Kind = Literal[
    "image", "image-name", "config", "start", "crash", "memory", "unschedulable", "set-up", "starting", "not-ready"
]
HANDLER, SIDECAR = "asya-runtime", "asya-sidecar"
IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "SignatureValidationFailed"}
)
START = frozenset(
    {"CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError"}
)
CANNOT_START = frozenset({"StartError", "ContainerCannotRun"})
SETTLING = timedelta(seconds=30)
"""What a pod lacks may be applied just after it, and nodes are added for pods that find none."""
SETTING_UP = timedelta(minutes=2)
"""A pod is made before the broker's user is; its sidecar waits for the credentials, and ends until they are valid."""
NOT_READY = timedelta(minutes=5)
STARTING = timedelta(minutes=10)
STEADY = timedelta(minutes=2)
ENOUGH = timedelta(minutes=10)
"""So long a container must run before its memory counts as enough; the kubelet forgets crashes by then, too."""
FEW_RESTARTS = 3
_FOLLOWING = frozenset({"starting", "not-ready"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason for which a Pod does not run.

    `container` and `image` are empty where it is about the whole Pod; `said` is Kubernetes' own text, or the last words
    of the container; `memory` its limit; `code` its exit code.
    """

    kind: Kind
    said: str = ""
    container: str = ""
    image: str = ""
    memory: str = ""
    code: int | None = None


def troubles(pod: Mapping[str, Any], now: datetime) -> list[Trouble]:
    """Return what is wrong with a Pod, nothing for one that starts, runs or leaves in an ordinary way."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") in {"Succeeded", "Failed"}:
        return []
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        waits = (
            scheduled.get("reason") == "Unschedulable" and _age(scheduled.get("lastTransitionTime"), now) >= SETTLING
        )
        return [Trouble("unschedulable", scheduled.get("message", ""))] if waits else []
    found = [trouble for container in _containers(pod) for trouble in _of_container(container, status, now)]
    if not found and _is_stuck(status, now):
        found.append(Trouble("set-up"))
    # A sidecar is not ready, too, while the handler crashes: one reason is enough.
    return [each for each in found if each.kind not in _FOLLOWING] or found


def _containers(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield statuses, in the order in which containers start, each with the image and memory that were asked for."""
    spec, status = pod.get("spec") or {}, pod["status"]
    asked = {each["name"]: each for part in ("initContainers", "containers") for each in spec.get(part) or ()}
    for part in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(part) or ():
            own = asked.get(each["name"], {})
            limits = (own.get("resources") or {}).get("limits") or {}
            yield {**each, "image": own.get("image") or each.get("image", ""), "memory": limits.get("memory", "")}


def _of_container(container: Mapping[str, Any], status: Mapping[str, Any], now: datetime) -> Iterator[Trouble]:
    state = container.get("state") or {}
    named = {"container": container["name"], "image": container["image"]}
    waiting = state.get("waiting") or {}
    reason, said = waiting.get("reason", ""), waiting.get("message", "")
    if reason in IMAGE:
        yield Trouble("image", said, **named)
    elif reason == "InvalidImageName":
        yield Trouble("image-name", said, **named)
    elif reason == "CreateContainerConfigError":
        if _age(status.get("startTime"), now) >= (SETTING_UP if container["name"] == SIDECAR else SETTLING):
            yield Trouble("config", said, **named)
    elif reason in START:
        yield Trouble("start", said, **named)
    elif (ended := _ended(container, now)) is not None:
        if container["name"] != SIDECAR or _age(status.get("startTime"), now) >= SETTING_UP:
            yield _crash(container, ended)
    elif running := state.get("running"):
        if container.get("started") is False and _age(running.get("startedAt"), now) >= STARTING:
            yield Trouble("starting", **named)
        elif container.get("started") and not container.get("ready") and _was_unready(status, now) >= NOT_READY:
            yield Trouble("not-ready", **named)


def _ended(container: Mapping[str, Any], now: datetime) -> Mapping[str, Any] | None:
    """Return how it ended last, None if it runs well since or was to end."""
    state: Mapping[str, Any] = container.get("state") or {}
    last: Mapping[str, Any] | None = (container.get("lastState") or {}).get("terminated")
    ended: Mapping[str, Any] | None = state.get("terminated")
    if ended:
        return ended if ended.get("exitCode") else None
    if last is None or (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff":
        return last
    if not last.get("exitCode"):
        return None
    running = state.get("running") or {}
    # Ready may wait for another container; started is its own.
    if running and container.get("started"):
        lasts = _age(running.get("startedAt"), now)
        if last.get("reason") == "OOMKilled":
            return last if lasts < ENOUGH else None
        return last if lasts < STEADY and container.get("restartCount", 0) >= FEW_RESTARTS else None
    return last


def _crash(container: Mapping[str, Any], ended: Mapping[str, Any]) -> Trouble:
    named = {"container": container["name"], "image": container["image"]}
    said, code = ended.get("message", "").strip(), ended.get("exitCode")
    if ended.get("reason") == "OOMKilled":
        return Trouble("memory", said, memory=container["memory"], code=code, **named)
    if ended.get("reason") in CANNOT_START:
        return Trouble("start", said, **named)
    return Trouble("crash", said, code=code, **named)


def _is_stuck(status: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether the Pod has a node and gets no network or volume there."""
    sandbox = _condition(status, "PodReadyToStartContainers")
    return sandbox.get("status") == "False" and _age(status.get("startTime"), now) >= SETTING_UP


def _was_unready(status: Mapping[str, Any], now: datetime) -> timedelta:
    return _age(_condition(status, "Ready").get("lastTransitionTime"), now)


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})


def _age(stamp: str | None, now: datetime) -> timedelta:
    return timedelta(0) if not stamp else now - datetime.fromisoformat(stamp)
