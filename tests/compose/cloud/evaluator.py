"""`GrantEvaluator`: who may do what at Pub/Sub, by the IAM members that were rendered.

There is no test server for Google's IAM. This knows what the rendered grants need and refuses anything else: the two
roles with the permissions that Google documents for them, members of five kinds, grants on single resources, no
conditions. Google's IAM only ever adds permissions, so what no grant gives is denied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]

ROLES = {
    "roles/pubsub.publisher": {"pubsub.topics.publish"},
    "roles/pubsub.subscriber": {
        "pubsub.subscriptions.consume",
        "pubsub.snapshots.seek",
        "pubsub.topics.attachSubscription",
    },
    "roles/iam.workloadIdentityUser": {"iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.getOpenIdToken"},
}
_POOL = r"iam\.googleapis\.com/projects/(?P<number>\d+)/locations/global/workloadIdentityPools/(?P<pool>[^/]+)"
_PRINCIPAL = re.compile(rf"principal://{_POOL}/subject/ns/(?P<namespace>[^/]+)/sa/(?P<account>[^/]+)")
_NAMESPACE = re.compile(rf"principalSet://{_POOL}/namespace/(?P<namespace>[^/]+)")
_POD_AS_ACCOUNT = re.compile(r"serviceAccount:(?P<pool>[^\[]+)\[(?P<namespace>[^/]+)/(?P<account>[^\]]+)\]")


@dataclass(frozen=True)
class Pod:
    """A pod as Google sees it: `google` is the service account in the annotation of its own, if it has one."""

    namespace: str
    account: str
    google: str | None = None
    number: str = "456789"
    pool: str = "mesh-prod.svc.id.goog"


@dataclass(frozen=True)
class ServiceAgent:
    """Google's own agent of a project's Pub/Sub."""

    number: str = "456789"


class GrantEvaluator:
    """Evaluates the grants among rendered objects."""

    def __init__(self, objects: Iterable[Manifest]) -> None:
        self._names: dict[tuple[str, str, str], str] = {}
        self._grants: list[tuple[str, str, str]] = []
        objects = list(objects)
        for each in objects:
            external = each["metadata"].get("annotations", {}).get("crossplane.io/external-name")
            if external is not None:
                self._names[each["metadata"]["namespace"], each["kind"], each["metadata"]["name"]] = external
        for each in objects:
            if each["kind"].endswith("IAMMember"):
                self._grants.append(self._grant(each))

    def may(self, who: Pod | ServiceAgent, permission: str, resource: str) -> bool:
        """Tell whether `who` has a permission on `resource`, such as ``topics/asya_shop_resize``."""
        return any(
            resource == on and permission in ROLES[role] and self._is(who, member) for on, role, member in self._grants
        )

    def roles(self, who: Pod | ServiceAgent) -> dict[str, set[str]]:
        """Return the roles that `who` has, by resource."""
        found: dict[str, set[str]] = {}
        for on, role, member in self._grants:
            if self._is(who, member):
                found.setdefault(on, set()).add(role)
        return found

    def _grant(self, manifest: Manifest) -> tuple[str, str, str]:
        wanted = manifest["spec"]["forProvider"]
        assert "condition" not in wanted, "conditions are not evaluated here"
        assert wanted["role"] in ROLES, wanted["role"]
        namespace = manifest["metadata"]["namespace"]
        match manifest["kind"]:
            case "TopicIAMMember":
                return self._resource(wanted, namespace, "topic", "Topic", "topics"), wanted["role"], wanted["member"]
            case "SubscriptionIAMMember":
                found = self._resource(wanted, namespace, "subscription", "Subscription", "subscriptions")
                return found, wanted["role"], wanted["member"]
            case "ServiceAccountIAMMember":
                found = self._resource(wanted, namespace, "serviceAccountId", "ServiceAccount", "serviceAccounts")
                return found, wanted["role"], wanted["member"]
        raise AssertionError(manifest["kind"])

    def _resource(self, wanted: Manifest, namespace: str, field: str, kind: str, collection: str) -> str:
        if field in wanted:
            return f"{collection}/{wanted[field].rpartition('/')[2]}"
        return f"{collection}/{self._names[namespace, kind, wanted[f'{field}Ref']['name']]}"

    def _is(self, who: Pod | ServiceAgent, member: str) -> bool:
        if isinstance(who, ServiceAgent):
            return member == f"serviceAccount:service-{who.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
        if who.google is not None and self._may_be(who):
            # A pod that acts as an account is that account to Google and nothing else.
            return member == f"serviceAccount:{who.google}"
        return self._is_itself(who, member)

    def _may_be(self, pod: Pod) -> bool:
        itself = Pod(pod.namespace, pod.account, None, pod.number, pod.pool)
        account = f"serviceAccounts/{str(pod.google).partition('@')[0]}"
        return self.may(itself, "iam.serviceAccounts.getAccessToken", account)

    def _is_itself(self, pod: Pod, member: str) -> bool:
        if found := _PRINCIPAL.fullmatch(member):
            return found.groupdict() == {
                "number": pod.number,
                "pool": pod.pool,
                "namespace": pod.namespace,
                "account": pod.account,
            }
        if found := _NAMESPACE.fullmatch(member):
            return found.groupdict() == {"number": pod.number, "pool": pod.pool, "namespace": pod.namespace}
        if found := _POD_AS_ACCOUNT.fullmatch(member):
            return found.groupdict() == {"pool": pod.pool, "namespace": pod.namespace, "account": pod.account}
        assert re.fullmatch(r"serviceAccount:[a-z0-9-]+@[a-z0-9.-]+", member), member
        return False
