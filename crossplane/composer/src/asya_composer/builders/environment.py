"""Variables of the containers: each name once, and never the text of a secret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asya.api import runtime_environment, sidecar_environment
from asya.api.fields import Model
from asya_composer.model import Context, Manifest, PodAccess

STATE_FOLDER = "state"


def dump(value: Model) -> Manifest:
    """Return a part of the manifest as Kubernetes writes it; what is absent stays absent."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=False)


def each(values: Sequence[Model]) -> list[Manifest]:
    """Return parts of the manifest as Kubernetes writes them."""
    return [dump(value) for value in values]


def sidecar(context: Context, access: PodAccess) -> list[Manifest]:
    """Return the sidecar's variables; the platform's, then the broker's, then the actor's, of which the last counts."""
    actor, settings = context.actor, context.settings
    port = f":{settings.sidecar.port}"
    platform = {"ASYA_SOCKET_MODE": "660", "ASYA_HEALTH_ADDR": port, "ASYA_METRICS_ADDR": port}
    platform["ASYA_QUEUE_NAMES"] = settings.queue_names
    manifest = sidecar_environment(
        actor, namespace=context.namespace, transport=context.transport, socket_dir=settings.socket_folder
    )
    return _once(
        [
            *each(settings.sidecar.env),
            *_literal(platform),
            *_gateway(context),
            *_tracing(context),
            *access.env,
            *_literal(manifest),
            *each(actor.spec.sidecar.env),
        ]
    )


def handler(context: Context) -> list[Manifest]:
    """Return the variables of the handler's container."""
    spec, settings = context.actor.spec, context.settings
    from_secrets = [
        {"name": key.env_var, "valueFrom": {"secretKeyRef": {"name": ref.secret_name, "key": key.key}}}
        for ref in spec.secret_refs
        for key in ref.keys
    ]
    mounts = ";".join(f"{proxy.name}:{proxy.mount.path}:write={proxy.write_mode}" for proxy in spec.state_proxy)
    return _once(
        [
            # In the order in which they are given: one may use another by $(NAME).
            *each(spec.env),
            *from_secrets,
            *_literal(runtime_environment(context.actor, socket_dir=settings.socket_folder)),
            *_literal({"ASYA_STATE_PROXY_MOUNTS": mounts} if mounts else {}),
        ]
    )


def state_socket(context: Context, name: str) -> str:
    """Return the path of a state connector's socket."""
    return f"{context.settings.socket_folder}/{STATE_FOLDER}/{name}.sock"


def _gateway(context: Context) -> list[Manifest]:
    gateway = context.settings.gateway
    if gateway is None:
        return []
    found = _literal({"ASYA_GATEWAY_URL": gateway.url})
    if gateway.token is not None:
        found.append({"name": "ASYA_GATEWAY_TOKEN", "valueFrom": {"secretKeyRef": dump(gateway.token)}})
    return found


def _tracing(context: Context) -> list[Manifest]:
    tracing = context.actor.spec.tracing or context.settings.tracing
    if tracing is None:
        return []
    return _literal({"ASYA_TRACING_ENDPOINT": tracing.endpoint, "ASYA_TRACING_PROTOCOL": tracing.protocol})


def _literal(values: dict[str, str]) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _once(entries: Iterable[Manifest]) -> list[Manifest]:
    """The last of a name counts. The API server refuses a name that is there twice."""
    return list({entry["name"]: entry for entry in entries}.values())
