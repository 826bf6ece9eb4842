"""The containers of a pod: the sidecar, the handler's, and connectors to state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asya.api.parts import StateProxy
from asya.api.pod import ExtraContainer, Resources
from asya_composer import names
from asya_composer.builders import environment
from asya_composer.builders.environment import dump, each
from asya_composer.model import Context, Manifest, PodAccess

SIDECAR, HANDLER = "asya-sidecar", "asya-runtime"
SOCKETS, RUNTIME, STATE = "asya-sockets", "asya-runtime", "asya-state"
PORT_NAME = "asya-metrics"
_RUNTIME_READY, _RUNTIME_LIVE = "/runtime/readyz", "/runtime/livez"
"""The runtime serves no HTTP; the sidecar, which is in the same pod, answers for it."""
_ROOT_LIKE = ("SYS_ADMIN", "CAP_SYS_ADMIN")
_START = {"periodSeconds": 2, "failureThreshold": 1800}
"""An hour in which a handler may be imported, with its models."""
_LIVE = {"periodSeconds": 10, "failureThreshold": 6}
_READY = {"periodSeconds": 5, "failureThreshold": 2}


def sidecar(context: Context, access: PodAccess) -> Manifest:
    """Return the sidecar: a native one, which is started before the handler and stopped after it.

    Its start-up probe waits for the runtime's file and for the sidecar itself, never for the runtime.
    """
    settings, spec = context.settings.sidecar, context.actor.spec.sidecar
    return {
        "name": SIDECAR,
        "image": _image(context),
        "imagePullPolicy": spec.image.pull_policy or settings.pull_policy,
        "restartPolicy": "Always",
        "args": ["serve", "--install", context.settings.runtime_folder],
        "env": environment.sidecar(context, access),
        "ports": [{"name": PORT_NAME, "containerPort": settings.port, "protocol": "TCP"}],
        "startupProbe": {**_http("/healthz", settings.port), "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {**_http("/healthz", settings.port), "periodSeconds": 10, "failureThreshold": 6},
        "readinessProbe": {**_http("/readyz", settings.port), "periodSeconds": 5, "failureThreshold": 2},
        "resources": resources(spec.resources or settings.resources),
        "securityContext": settings.security_context,
        "volumeMounts": [_sockets(context), _runtime(context), *access.mounts],
    }


def handler(context: Context) -> Manifest:
    """Return the container with people's code; only its command is ours."""
    spec, settings = context.actor.spec, context.settings
    port = settings.sidecar.port
    given = bool(spec.resources.limits or spec.resources.requests)
    found: Manifest = {
        "name": HANDLER,
        "image": spec.image,
        "imagePullPolicy": spec.image_pull_policy,
        "command": spec.command or [spec.python_executable, f"{settings.runtime_folder}/asya_runtime.py"],
        "args": spec.args,
        "env": environment.handler(context),
        "envFrom": each(spec.env_from),
        "ports": each(spec.ports),
        "startupProbe": spec.probes.startup or {**_http(_RUNTIME_READY, port), **_START},
        "livenessProbe": spec.probes.liveness or {**_http(_RUNTIME_LIVE, port), **_LIVE},
        "readinessProbe": spec.probes.readiness or {**_http(_RUNTIME_READY, port), **_READY},
        "resources": resources(spec.resources if given else settings.pods.resources),
        "securityContext": security(context, spec.security_context),
        "volumeMounts": [_sockets(context), {**_runtime(context), "readOnly": True}, *each(spec.volume_mounts)],
    }
    if spec.state_proxy:
        found["volumeMounts"] += [_state(context)]
        found["volumeMounts"] += [{"name": _folder(proxy), "mountPath": proxy.mount.path} for proxy in spec.state_proxy]
    return without_nothing(found)


def connectors(context: Context) -> list[Manifest]:
    """Return a native sidecar per store, so that state is there before the handler is imported."""
    return [_connector(context, proxy) for proxy in context.actor.spec.state_proxy]


def of_people(context: Context, given: Sequence[ExtraContainer]) -> list[Manifest]:
    """Return containers of people's own, no freer than the handler unless they say so."""
    found = []
    for own in each(given):
        context_of_its_own = own.get("securityContext")
        if context_of_its_own is None or isinstance(context_of_its_own, Mapping):
            own["securityContext"] = security(context, context_of_its_own)
        found.append(own)
    return found


def security(context: Context, own: Mapping[str, Any] | None) -> Manifest:
    """Return a container's security context: the platform's, and what the actor says over it."""
    platform, said = context.settings.pods.security_context, dict(own or {})
    capabilities = said.get("capabilities")
    added = (capabilities.get("add") or ()) if isinstance(capabilities, Mapping) else ()
    if said.get("privileged") or any(name in _ROOT_LIKE for name in added):
        # Kubernetes refuses these together with the promise not to gain privileges.
        platform = {name: value for name, value in platform.items() if name != "allowPrivilegeEscalation"}
    return over(platform, said)


def over(platform: Mapping[str, Any], own: Mapping[str, Any] | None) -> Manifest:
    """Return `platform` with `own` over it: maps are merged, all else is replaced."""
    found = dict(platform)
    for name, value in (own or {}).items():
        below = found.get(name)
        found[name] = over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return found


def volumes(context: Context, access: PodAccess) -> list[Manifest]:
    """Return the pod's volumes: ours in memory (sockets) and on disk, the broker's, and people's own."""
    spec = context.actor.spec
    found: list[Manifest] = [
        {"name": SOCKETS, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": RUNTIME, "emptyDir": {"sizeLimit": "8Mi"}},
    ]
    if spec.state_proxy:
        found.append({"name": STATE, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
        found += [{"name": _folder(proxy), "emptyDir": {}} for proxy in spec.state_proxy]
    return [*found, *access.volumes, *each(spec.volumes)]


def resources(given: Resources) -> Manifest:
    """Return compute resources without what is empty."""
    return without_nothing(dump(given))


def without_nothing(values: Manifest) -> Manifest:
    """Return `values` without what is None or empty, which Kubernetes takes as absent."""
    return {name: value for name, value in values.items() if value not in (None, [], {})}


def _connector(context: Context, proxy: StateProxy) -> Manifest:
    connector, pods = proxy.connector, context.settings.pods
    return {
        "name": names.shorten(f"asya-state-{proxy.name}", names.LABEL_LENGTH),
        "image": connector.image,
        "imagePullPolicy": connector.image_pull_policy,
        "restartPolicy": "Always",
        "env": [
            *each(connector.env),
            {"name": "CONNECTOR_SOCKET", "value": environment.state_socket(context, proxy.name)},
        ],
        "resources": resources(connector.resources or pods.connector_resources),
        "securityContext": pods.security_context,
        "volumeMounts": [_state(context)],
    }


def _image(context: Context) -> str:
    platform, own = context.settings.sidecar, context.actor.spec.sidecar.image
    tag = own.tag or platform.tag
    return f"{own.repository or platform.repository}{tag if tag.startswith('@') else ':' + tag}"


def _http(path: str, port: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}, "timeoutSeconds": 2}


def _sockets(context: Context) -> Manifest:
    return {"name": SOCKETS, "mountPath": context.settings.socket_folder}


def _runtime(context: Context) -> Manifest:
    return {"name": RUNTIME, "mountPath": context.settings.runtime_folder}


def _state(context: Context) -> Manifest:
    return {"name": STATE, "mountPath": f"{context.settings.socket_folder}/{environment.STATE_FOLDER}"}


def _folder(proxy: StateProxy) -> str:
    return names.shorten(f"asya-at-{proxy.name}", names.LABEL_LENGTH)
