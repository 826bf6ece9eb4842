"""The restricted Pod Security Standard, as far as a pod spec can break it (kubernetes.io, Pod Security Standards)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def breaches(spec: dict[str, Any]) -> Iterator[str]:
    """Yield what a pod spec has that the restricted profile forbids, or lacks that it demands."""
    pod = spec.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    for volume in spec.get("volumes", ()):
        if not volume.keys() - {"name"} <= _VOLUMES:
            yield f"volume {volume['name']}"
    if pod.get("runAsUser") == 0:
        yield "the pod runs as root"
    if "sysctls" in pod:
        yield "sysctls"
    for container in [*spec.get("initContainers", ()), *spec["containers"], *spec.get("ephemeralContainers", ())]:
        yield from (f"{container['name']}: {why}" for why in _container(container, pod))


def _container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    effective = pod | own
    if not effective.get("runAsNonRoot"):
        yield "runAsNonRoot is not set"
    if own.get("runAsUser") == 0:
        yield "runs as root"
    if effective.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "privilege escalation is allowed"
    if own.get("privileged"):
        yield "privileged"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities are not dropped"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort"
