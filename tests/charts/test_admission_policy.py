"""The admission policy at a real API server: what a tenant is refused, and what stays allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import utils
from kubernetes.client.exceptions import ApiException
from tests.charts.conftest import Rendered
from tests.charts.scenarios import Manifest, Scenario
from tests.support.apiserver import ApiServer
from tests.support.definition import crd_of
from tests.support.processes import until

from asya.api.xrd import definition

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver-charts")]
NAMESPACE = "shop"
TENANT = "alice"
GROUP = {"group": "asya.sh", "version": "v1alpha1", "namespace": NAMESPACE, "plural": "asyncactors"}
ACTOR: Manifest = {
    "apiVersion": "asya.sh/v1alpha1",
    "kind": "AsyncActor",
    "metadata": {"name": "resize"},
    "spec": {"image": "example.org/a:1", "handler": "a.b"},
}
SOON = 60.0
RULES = [
    # As Crossplane's own role for editors has it.
    {"apiGroups": ["asya.sh"], "resources": ["asyncactors", "asyncactors/status"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["models"], "verbs": ["use"]},
]


class Actors:
    """Actors of one namespace, by one user."""

    def __init__(self, client: kubernetes.ApiClient) -> None:
        self._custom: Any = kubernetes.CustomObjectsApi(client)

    def create(self, *, dry_run: bool = False, **spec: Any) -> None:
        body = ACTOR | {"spec": ACTOR["spec"] | spec}
        options = {"dry_run": "All"} if dry_run else {}
        self._custom.create_namespaced_custom_object(**GROUP, body=body, **options)

    def change(self, **spec: Any) -> None:
        self._custom.patch_namespaced_custom_object(**GROUP, name="resize", body={"spec": spec})

    def delete(self) -> None:
        self._custom.delete_namespaced_custom_object(**GROUP, name="resize")


@pytest.fixture(scope="module")
def admin(server: ApiServer, rendered: Rendered) -> Iterator[kubernetes.ApiClient]:
    """The administrator, once the chart's policy is in place for a tenant's namespace."""
    client = server.client()
    create: Any = utils.create_from_dict
    core: Any
    rbac: Any
    core, rbac = kubernetes.CoreV1Api(client), kubernetes.RbacAuthorizationV1Api(client)
    create(client, crd_of(definition()))
    core.create_namespace({"metadata": {"name": NAMESPACE, "labels": {"tenant": "true"}}})
    rbac.create_namespaced_role(NAMESPACE, {"metadata": {"name": TENANT}, "rules": RULES})
    subject = {"kind": "User", "name": TENANT, "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "Role", "name": TENANT, "apiGroup": "rbac.authorization.k8s.io"}
    rbac.create_namespaced_role_binding(
        NAMESPACE, {"metadata": {"name": TENANT}, "subjects": [subject], "roleRef": reference}
    )
    scenario = Scenario("asya-crossplane", "admission-policy")
    policies = [item for item in rendered(scenario) if item["kind"].startswith("ValidatingAdmissionPolicy")]
    for policy in policies:
        create(client, policy)
    yield client
    admission = kubernetes.AdmissionregistrationV1Api(client)
    admission.delete_validating_admission_policy_binding("asya-actors")
    admission.delete_validating_admission_policy("asya-actors")
    kubernetes.ApiextensionsV1Api(client).delete_custom_resource_definition("asyncactors.asya.sh")


@pytest.fixture(scope="module")
def tenant(server: ApiServer, admin: kubernetes.ApiClient) -> Actors:
    """A user who may write actors there, and use one service account; from when the policy holds."""
    client = server.client()
    client.set_default_header("Impersonate-User", TENANT)
    actors = Actors(client)

    def is_refused() -> bool:
        try:
            actors.create(dry_run=True, networkPolicy={"enabled": False})
        except ApiException as error:
            return error.status == 403 and "asya-actors" in str(error.body)
        return False

    asyncio.run(until(is_refused, within=SOON, what=lambda: "the policy does not hold"))
    return actors


REFUSED: dict[str, Manifest] = {
    "spec.networkPolicy.enabled": {"networkPolicy": {"enabled": False}},
    "spec.serviceAccountName": {"serviceAccountName": "payments-actor"},
    "spec.sidecar.image": {"sidecar": {"image": {"repository": "example.org/sidecar"}}},
    "spec.sidecar.env": {"sidecar": {"env": [{"name": "HTTPS_PROXY", "value": "http://elsewhere"}]}},
}


@pytest.mark.parametrize("field", REFUSED)
def test_a_tenant_cannot_leave_what_the_platform_set(tenant: Actors, field: str) -> None:
    with pytest.raises(ApiException) as refused:
        tenant.create(dry_run=True, **REFUSED[field])
    assert refused.value.status == 403
    assert field in str(refused.value.body)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 443}]}]}},
        {"serviceAccountName": "models"},
        {"sidecar": {"concurrency": 2, "env": []}},
    ],
    ids=["plain", "egress", "granted account", "sidecar"],
)
def test_all_else_is_allowed(tenant: Actors, spec: Manifest) -> None:
    tenant.create(dry_run=True, **spec)


def test_what_the_platform_let_in_can_be_updated_but_not_widened(tenant: Actors, admin: kubernetes.ApiClient) -> None:
    exceptions = {name: value for each in REFUSED.values() for name, value in each.items() if name != "sidecar"}
    exceptions["sidecar"] = {"image": {"repository": "example.org/sidecar"}, "env": [{"name": "A", "value": "1"}]}
    Actors(admin).create(**exceptions)
    tenant.change(image="example.org/a:2")
    tenant.change(networkPolicy={"enabled": True}, serviceAccountName=None)
    for field, spec in REFUSED.items():
        if field != "spec.sidecar.image":
            with pytest.raises(ApiException, match=field):
                tenant.change(**spec)
    tenant.delete()
