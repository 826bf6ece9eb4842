"""Whom the autoscaler trusts at the management API.

KEDA's scaler looks at its parameter `ca` only where its parameter `tls` is `enable`, and takes both from an object of
the namespace only; so there is a ConfigMap that says so.
"""

from __future__ import annotations

from asya_composer import kinds, names
from asya_composer.model import Context, Manifest, Resource
from asya_composer.objects import by_existence, make
from asya_composer.transports.rabbitmq.objects import settings_of

KEY = "management-tls"
_ENABLED = {"tls": "enable"}


def management_tls(context: Context) -> list[Resource]:
    """Return the ConfigMap, where the platform has authorities of its own for an encrypted management API."""
    if not _is_private(context) or not context.actor.spec.scaling.enabled:
        return []
    manifest = make(context, kinds.CONFIG_MAP, names.part(context, KEY))
    manifest["data"] = dict(_ENABLED)
    return [by_existence(KEY, "autoscaler", manifest, context.observed)]


def trust(context: Context) -> Manifest:
    """Return what a TriggerAuthentication says besides the credentials."""
    ca = settings_of(context).ca
    if ca is None or not _is_private(context):
        return {}
    own = [{"parameter": key, "name": names.part(context, KEY), "key": key} for key in _ENABLED]
    return {"configMapTargetRef": [{"parameter": "ca", "name": ca.name, "key": ca.key}, *own]}


def _is_private(context: Context) -> bool:
    settings = settings_of(context)
    return settings.ca is not None and settings.management_url.startswith("https://")
