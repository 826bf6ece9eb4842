"""What is wrong with a Pod, where, and what to do, in words for people who do not know Kubernetes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from asya.operator.identity import ACTOR, actor_name
from asya.operator.pods import HANDLER, SIDECAR, Kind, Trouble
from asya.settings import redact

MOST_SAID = 500
"""Characters of a text of Kubernetes or of a container; what to do follows it, within the length of an event."""
_STOPPED = frozenset({0, 137, 143})
"""Exit codes of what was stopped, by SIGKILL or SIGTERM; the runtime ends with 0 on the latter."""
_WHY_NO_IMAGE = (
    (r"not found|manifest unknown|no such image", "the registry has no such image or tag"),
    (r"unauthorized|denied|401|403|authentication", "the registry refuses to give it"),
    (r"no such host|refused|timeout|timed out|unreachable|i/o", "the registry does not answer"),
    (r"never", "the node has no such image, and is told never to pull one"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A trouble of an actor's Pods."""

    trouble: Trouble
    namespace: str
    actor: str
    handler: str

    @classmethod
    def of(cls, actor: Mapping[str, Any], trouble: Trouble) -> Self:
        """Return the trouble with what is said of its actor."""
        return cls(trouble, actor["metadata"]["namespace"], actor_name(actor), actor["spec"].get("handler", ""))

    def words(self) -> tuple[str, str]:
        """Return the event's reason and its message."""
        reason, message = _WORDS[self.trouble.kind]
        return reason(self.trouble) if callable(reason) else reason, message(self)

    @property
    def pods(self) -> str:
        """How kubectl finds them."""
        return f"-n {self.namespace} -l {ACTOR}={self.actor}"

    @property
    def log(self) -> str:
        """The command that shows the container's log."""
        return f"Log: kubectl logs {self.pods} -c {self.trouble.container}"

    @property
    def said(self) -> str:
        """Kubernetes' own words."""
        return f" Kubernetes says: {quoted(self.trouble.said)}" if self.trouble.said else ""


def quoted(text: str) -> str:
    """Return a text of others as a sentence: one line, without secrets, not too long."""
    text = redact(" ".join(text.split()))
    text = text if len(text) <= MOST_SAID else text[: MOST_SAID - 1] + "…"
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."


def _image(case: Case) -> str:
    trouble = case.trouble
    why = next((words for pattern, words in _WHY_NO_IMAGE if re.search(pattern, trouble.said, re.IGNORECASE)), "")
    text = f'Image "{trouble.image}" of container {trouble.container} cannot be pulled'
    text += f": {why}." if why else "."
    # Pulling and pausing take turns, and say the same.
    said = re.sub(r'^Back-off pulling image "[^"]*"(: ErrImagePull: )?', "", trouble.said)
    text += f" Kubernetes says: {quoted(said)}" if said else ""
    whose = {HANDLER: "spec.image", SIDECAR: "spec.sidecar.image"}.get(trouble.container, "the image's name")
    return f"{text} Check {whose}, and spec.imagePullSecrets where the registry wants a password."


def _image_name(case: Case) -> str:
    whose = " in spec.image" if case.trouble.container == HANDLER else ""
    return (
        f'"{case.trouble.image}" of container {case.trouble.container} is no name of an image.{case.said} '
        f"Correct it{whose}: registry/name:tag in lower case."
    )


def _config(case: Case) -> str:
    cure = "Make it, or correct spec.secretRefs, spec.env or spec.envFrom; the Pod then starts by itself."
    if case.trouble.container == SIDECAR:
        cure = "It comes from the platform or its broker; see conditions QueueReady and IdentityReady of this actor."
    return f"Container {case.trouble.container} lacks a Secret, a ConfigMap or a key of one.{case.said} {cure}"


def _start(case: Case) -> str:
    trouble, cure = case.trouble, "Check the image and the command."
    if trouble.container == HANDLER and "executable file not found" in trouble.said:
        cure = "Take an image with Python, or say what it is called there in spec.pythonExecutable."
    return f'Container {trouble.container} (image "{trouble.image}") cannot be started.{case.said} {cure}'


def _crash(case: Case) -> str:
    trouble, log = case.trouble, f"{case.log} --previous"
    said = f": {quoted(trouble.said)}" if trouble.said else f" (exit code {trouble.code})."
    if trouble.container == HANDLER and trouble.said:
        what = f"Handler {case.handler}" if case.handler else "The handler"
        return f'{what} in image "{trouble.image}" does not start{said} Correct it, spec.handler or the image. {log}'
    if trouble.container == SIDECAR:
        return f"The platform's sidecar does not start{said} No message is lost; they wait in the queue. {log}"
    probe = " It may have been stopped because a probe failed." if trouble.code in _STOPPED else ""
    return f'Container {trouble.container} (image "{trouble.image}") ends again and again{said}{probe} {log}'


def _memory(case: Case) -> str:
    container, memory = case.trouble.container, case.trouble.memory
    had = f"its limit is {memory}" if memory else "it has no limit, so its node had none left"
    field = {HANDLER: "spec.resources", SIDECAR: "spec.sidecar.resources"}.get(container, "its resources")
    return (
        f"Container {container} was killed because it ran out of memory: {had}. Raise limits.memory in {field}, or "
        "have it use less, such as by smaller batches or fewer workers."
    )


def _unschedulable(case: Case) -> str:
    return (
        f"No node takes the Pod.{case.said} Ask for less in spec.resources, check spec.nodeSelector, affinity and "
        "tolerations, or have a node added."
    )


def _set_up(case: Case) -> str:
    return (
        "The Pod has a node, but no volume or network there for two minutes. A Secret, ConfigMap or claim of a volume "
        f"may be missing. See: kubectl describe pods {case.pods}"
    )


def _starting(case: Case) -> str:
    handler = case.trouble.container == HANDLER
    what = "the handler is still being loaded" if handler else "its start-up probe does not succeed"
    return f"Container {case.trouble.container} has been starting for more than ten minutes: {what}. {case.log}"


def _not_ready(case: Case) -> str:
    sidecar = case.trouble.container == SIDECAR
    what = "it cannot reach the queue, or waits for the handler" if sidecar else "its readiness probe fails"
    return f"Container {case.trouble.container} runs, but has not been ready for five minutes: {what}. {case.log}"


def _reason_of_crash(trouble: Trouble) -> str:
    if trouble.container == HANDLER and trouble.said:
        return "HandlerNotLoaded"
    return "SidecarFailed" if trouble.container == SIDECAR else "ContainerCrashes"


_WORDS: dict[Kind, tuple[str | Callable[[Trouble], str], Callable[[Case], str]]] = {
    "image": ("ImageNotPulled", _image),
    "image-name": ("ImageNameInvalid", _image_name),
    "config": ("ConfigMissing", _config),
    "start": ("ContainerNotStarted", _start),
    "crash": (_reason_of_crash, _crash),
    "memory": ("OutOfMemory", _memory),
    "unschedulable": ("Unschedulable", _unschedulable),
    "set-up": ("PodNotSetUp", _set_up),
    "starting": ("StartsTooLong", _starting),
    "not-ready": ("NotReady", _not_ready),
}
