"""The managed resources of a cluster: read, write, mark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubernetes import client as kubernetes
from kubernetes.client.exceptions import ApiException
from tests.cluster.clouds.managed import Managed, Manifest

from asya_composer.kinds import Kind

_MANAGER = "fake-provider"


class Objects:
    """Objects of the providers' kinds at one API server."""

    def __init__(self, client: kubernetes.ApiClient) -> None:
        self._custom: Any = kubernetes.CustomObjectsApi(client)

    def all(self, kind: Kind) -> Iterator[Managed]:
        """Yield every object of a kind; none where the kind is not served yet."""
        try:
            found = self._custom.list_cluster_custom_object(kind.group, kind.version, kind.plural)
        except ApiException as error:
            if error.status != 404:
                raise
            return
        for manifest in found["items"]:
            yield Managed(kind, manifest)

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return an object, or None."""
        try:
            found: Manifest = self._custom.get_namespaced_custom_object(
                kind.group, kind.version, namespace, kind.plural, name
            )
        except ApiException as error:
            if error.status != 404:
                raise
            return None
        return found

    def has_config(self, managed: Managed) -> bool:
        """Tell whether the configuration that an object names is there."""
        group = managed.kind.group.partition(".")[2]
        name = managed.manifest["spec"]["providerConfigRef"]["name"]
        try:
            self._custom.get_cluster_custom_object(group, managed.kind.version, "clusterproviderconfigs", name)
        except ApiException as error:
            if error.status != 404:
                raise
            return False
        return True

    def patch(self, managed: Managed, change: Mapping[str, Any]) -> Managed:
        """Merge a change into an object; return what it is then."""
        manifest = self._custom.patch_namespaced_custom_object(**_place(managed), body=change, field_manager=_MANAGER)
        return Managed(managed.kind, manifest)

    def set_finalizers(self, managed: Managed, finalizers: Sequence[str]) -> Managed:
        """Replace the finalizers; refused when somebody else has changed the object meanwhile."""
        return self.patch(managed, {"metadata": {"finalizers": list(finalizers), "resourceVersion": managed.version}})

    def set_status(self, managed: Managed, status: Manifest) -> Managed:
        """Write the status, if it is another."""
        if managed.manifest.get("status") == status:
            return managed
        manifest = self._custom.patch_namespaced_custom_object_status(
            **_place(managed), body=_replacing(managed.manifest.get("status", {}), status), field_manager=_MANAGER
        )
        return Managed(managed.kind, manifest)


def _replacing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Manifest:
    """A merge patch that also takes away what is no more in `status.atProvider`."""
    gone = {name: None for name in old.get("atProvider", {}) if name not in new.get("atProvider", {})}
    return {"status": {**new, "atProvider": {**gone, **new.get("atProvider", {})}}}


def _place(managed: Managed) -> dict[str, str]:
    kind = managed.kind
    place = {"group": kind.group, "version": kind.version, "plural": kind.plural}
    return {**place, "namespace": managed.namespace, "name": managed.name}
