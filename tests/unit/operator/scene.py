"""A real API server with the platform installed as the chart does it, but for the operator's process."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import yaml
from kubernetes import client as kubernetes
from kubernetes.client.exceptions import ApiException
from tests.support.apiserver import Looking, api_server
from tests.support.definition import crd_of
from tests.support.processes import until
from tests.unit.operator.objects import Manifest, crew_map

from asya.api.registry import NAME, Registry, read_registry
from asya.api.xrd import definition

PLATFORM = "asya-system"
GROUP = {"group": "asya.sh", "version": "v1alpha1", "plural": "asyncactors"}
RENDERED = Path(__file__).parents[2] / "charts" / "golden" / "asya-operator" / "cert-manager.yaml"
SOON = 60.0


def rendered(kind: str) -> Manifest:
    """Return an object of the operator's chart as Helm renders it."""
    return next(each for each in yaml.safe_load_all(RENDERED.read_text()) if each and each["kind"] == kind)


@dataclass
class Scene(Looking):
    """A cluster with the platform installed, but for the operator's process."""

    webhook_port: int
    health_port: int

    def namespace(self, name: str) -> str:
        self.core.create_namespace({"metadata": {"name": name}})
        # Its controller does not run here.
        self.core.create_namespaced_service_account(name, {"metadata": {"name": "default"}})
        return name

    def create(self, namespace: str, name: str, **spec: Any) -> Manifest:
        spec = spec or {"image": "example.org/a:1", "handler": "a.b"}
        body = {"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": {"name": name}, "spec": spec}
        return self.custom.create_namespaced_custom_object(**GROUP, namespace=namespace, body=body)

    def set_status(self, namespace: str, name: str, **status: Any) -> None:
        self.custom.patch_namespaced_custom_object_status(
            **GROUP, namespace=namespace, name=name, body={"status": status}
        )

    def actor(self, namespace: str, name: str) -> Manifest | None:
        try:
            return self.custom.get_namespaced_custom_object(**GROUP, namespace=namespace, name=name)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    def registry(self, namespace: str) -> Registry:
        try:
            found = self.core.read_namespaced_config_map(NAME, namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return Registry()
        return read_registry({"data": found.data})

    def has_registry(self, namespace: str) -> bool:
        return any(each.metadata.name == NAME for each in self.core.list_namespaced_config_map(namespace).items)

    def events(self, namespace: str) -> list[tuple[str, str]]:
        return [(each.involved_object.name, each.reason) for each in self.core.list_namespaced_event(namespace).items]

    def events_of(self, namespace: str, name: str) -> list[Any]:
        return [each for each in self.core.list_namespaced_event(namespace).items if each.involved_object.name == name]

    def make_pod(self, namespace: str, name: str, found: Manifest) -> None:
        """Make a Pod and write its status, as the scheduler and a kubelet would."""
        labels = found["metadata"]["labels"]
        body = {"metadata": {"name": name, "labels": labels}, "spec": found["spec"]}
        self.core.create_namespaced_pod(namespace, body)
        self.set_pod(namespace, name, found)

    def set_pod(self, namespace: str, name: str, found: Manifest) -> None:
        # Lists of a status are merged by name or type; a kubelet replaces them.
        patch = [{"op": "add", "path": "/status", "value": found["status"]}]
        self.core.patch_namespaced_pod_status(name, namespace, patch)

    async def until(self, holds: Callable[[], bool]) -> None:
        await until(holds, within=SOON, what=lambda: self.log()[-4000:])

    def log(self) -> str:
        return (self.folder / "operator.log").read_text()


@contextmanager
def installed(
    folder: Path, *, ports: tuple[int, int] = (0, 0), admission: Sequence[str] = (), serves_actors: bool = True
) -> Iterator[Scene]:
    """Run an API server with the operator's chart; `ports` are those of a webhook and of the health checks."""
    with api_server(admission) as server:
        found = Scene(server, server.client(), folder, *ports)
        _install(found)
        if serves_actors:
            kubernetes.ApiextensionsV1Api(found.client).create_custom_resource_definition(crd_of(definition()))
        yield found


def _install(scene: Scene) -> None:
    """Install the operator's chart, without what runs: no controller makes a Pod of the Deployment here."""
    scene.namespace(PLATFORM)
    account = rendered("ServiceAccount")
    scene.core.create_namespaced_service_account(PLATFORM, account)
    access = kubernetes.RbacAuthorizationV1Api(scene.client)
    access.create_cluster_role(rendered("ClusterRole"))
    access.create_cluster_role_binding(rendered("ClusterRoleBinding"))
    access.create_namespaced_role(PLATFORM, rendered("Role"))
    access.create_namespaced_role_binding(PLATFORM, rendered("RoleBinding"))
    kubernetes.AppsV1Api(scene.client).create_namespaced_deployment(PLATFORM, rendered("Deployment"))
    request = {"spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 3600}}
    name = account["metadata"]["name"]
    token = scene.core.create_namespaced_service_account_token(name, PLATFORM, request).status.token
    config = yaml.safe_load(scene.server.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    (scene.folder / "kubeconfig").write_text(yaml.safe_dump(config))
    scene.core.create_namespaced_config_map(PLATFORM, crew_map())
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    own.private_key_pem.write_to_path(str(scene.folder / "tls.key"))
    own.cert_chain_pems[0].write_to_path(str(scene.folder / "tls.crt"))
    configuration = rendered("MutatingWebhookConfiguration")
    (webhook,) = configuration["webhooks"]
    # The Service has no address here; all else is the chart's.
    path = webhook["clientConfig"]["service"]["path"]
    webhook["clientConfig"] = {
        "url": f"https://127.0.0.1:{scene.webhook_port}{path}",
        "caBundle": base64.b64encode(authority.cert_pem.bytes()).decode(),
    }
    kubernetes.AdmissionregistrationV1Api(scene.client).create_mutating_webhook_configuration(configuration)
