"""The Google kinds that are composed: topics and subscriptions at a Pub/Sub emulator, the rest only written down.

The emulator knows no IAM and the project needs no Google account, so members and service accounts become ready as soon
as they are asked for; who may do what by them is told by an evaluator.
"""

from __future__ import annotations

import re
from typing import Any

import httpx
from tests.cluster.clouds.managed import CloudError, Managed, Manifest, Observation, Reference, Service, differing

from asya_composer import kinds
from asya_composer.kinds import Kind

_TOPIC = ("kmsKeyName", "labels", "messageRetentionDuration")
_SUBSCRIPTION = (
    "ackDeadlineSeconds",
    "deadLetterPolicy",
    "enableExactlyOnceDelivery",
    "enableMessageOrdering",
    "expirationPolicy",
    "labels",
    "messageRetentionDuration",
    "retryPolicy",
)
_ACCOUNT = re.compile(r"[a-z][-a-z0-9]{4,28}[a-z0-9]")
_FOR_EVER: Manifest = {}
"""What an empty `ttl` is to Google: a policy without one, which the emulator does not tell at all."""
_EMULATOR_RETENTION = 604_800
"""Longest that the emulator keeps messages, in seconds; Google itself keeps them up to 31 days."""


def services(api: httpx.Client | None) -> dict[Kind, Service]:
    """Return how each Google kind is carried out; `api` has the emulator's address, None does without topics."""
    topic = Reference(("topic",), kinds.PUBSUB_TOPIC, by_id=False)
    dead = Reference(("deadLetterPolicy", "deadLetterTopic"), kinds.PUBSUB_TOPIC, by_id=True)
    subscription = Reference(("subscription",), kinds.PUBSUB_SUBSCRIPTION, by_id=False)
    account = Reference(("serviceAccountId",), kinds.GCP_SERVICE_ACCOUNT, by_id=True)
    recorded: dict[Kind, Service] = {
        kinds.PUBSUB_TOPIC_IAM_MEMBER: Service(Member("topic"), (topic,)),
        kinds.PUBSUB_SUBSCRIPTION_IAM_MEMBER: Service(Member("subscription"), (subscription,)),
        kinds.GCP_SERVICE_ACCOUNT_IAM_MEMBER: Service(Member("serviceAccountId"), (account,)),
        kinds.GCP_SERVICE_ACCOUNT: Service(Account(), named=True),
    }
    if api is None:
        return recorded
    return {
        kinds.PUBSUB_TOPIC: Service(Topic(api), named=True),
        kinds.PUBSUB_SUBSCRIPTION: Service(Subscription(api), (topic, dead), named=True),
        **recorded,
    }


class _Named:
    """Something with a path below its project: ``projects/<project>/<collection>/<external name>``."""

    collection: str
    member: str
    fields: tuple[str, ...]
    fixed: tuple[str, ...] = ()

    def __init__(self, api: httpx.Client) -> None:
        self._api = api

    def observe(self, managed: Managed) -> Observation | None:
        found = self._asked("GET", managed)
        if found is None:
            return None
        body = self._body(managed)
        if body.get("expirationPolicy") == _FOR_EVER:
            found.setdefault("expirationPolicy", _FOR_EVER)
        at_provider = {name: found[name] for name in (*self.fields, *self.fixed) if name in found}
        at_provider |= {"id": self._path(managed), "project": managed.wanted["project"]}
        return Observation(at_provider, not differing(body, found))

    def create(self, managed: Managed) -> str:
        self._asked("PUT", managed, json=self._body(managed) | self._fixed(managed))
        return str(managed.external_name)

    def update(self, managed: Managed) -> None:
        """Write only what differs: some fields the emulator takes at creation, but cannot change."""
        body = self._body(managed)
        mask = ",".join(_snake(name) for name in differing(body, managed.at_provider))
        there = {**body, **self._fixed(managed), "name": self._path(managed)}
        self._asked("PATCH", managed, json={self.member: there, "updateMask": mask})

    def delete(self, managed: Managed) -> None:
        self._asked("DELETE", managed)

    def _path(self, managed: Managed) -> str:
        return f"projects/{managed.wanted['project']}/{self.collection}/{managed.external_name}"

    def _body(self, managed: Managed) -> Manifest:
        wanted = {name: managed.wanted[name] for name in self.fields if name in managed.wanted}
        if policy := wanted.get("deadLetterPolicy"):
            wanted["deadLetterPolicy"] = {name: value for name, value in policy.items() if not name.endswith("Ref")}
        if wanted.get("expirationPolicy") == {"ttl": ""}:
            wanted["expirationPolicy"] = _FOR_EVER
        if retention := wanted.get("messageRetentionDuration"):
            wanted["messageRetentionDuration"] = f"{min(int(retention.removesuffix('s')), _EMULATOR_RETENTION)}s"
        return wanted

    def _fixed(self, managed: Managed) -> Manifest:
        return {}

    def _asked(self, method: str, managed: Managed, **content: Any) -> Manifest | None:
        try:
            answer = self._api.request(method, f"/v1/{self._path(managed)}", **content)
        except httpx.HTTPError as error:
            raise CloudError(f"{method} {self._path(managed)}: {error!r}") from error
        if answer.status_code == httpx.codes.NOT_FOUND and method != "PUT":
            return None
        if answer.is_error:
            raise CloudError(f"{method} {self._path(managed)}: {answer.status_code} {answer.text.strip()}")
        found: Manifest = answer.json()
        return found


class Topic(_Named):
    """A topic."""

    collection, member = "topics", "topic"
    fields = _TOPIC


class Subscription(_Named):
    """A subscription; its topic cannot be changed."""

    collection, member = "subscriptions", "subscription"
    fields = _SUBSCRIPTION
    fixed = ("topic",)

    def _fixed(self, managed: Managed) -> Manifest:
        topic: str = managed.wanted["topic"]
        full = topic if topic.startswith("projects/") else f"projects/{managed.wanted['project']}/topics/{topic}"
        return {"topic": full}


class _Recorded:
    """What is only written down, in this process: it is there once it was created."""

    def __init__(self) -> None:
        self._there: dict[tuple[str, str], Manifest] = {}

    def observe(self, managed: Managed) -> Observation | None:
        there = self._there.get((managed.namespace, managed.name))
        return None if there is None else Observation(there, as_wanted=there == self._at_provider(managed))

    def create(self, managed: Managed) -> str:
        found = self._at_provider(managed)
        self._there[managed.namespace, managed.name] = found
        return managed.external_name or str(found["id"])

    def update(self, managed: Managed) -> None:
        self.create(managed)

    def delete(self, managed: Managed) -> None:
        self._there.pop((managed.namespace, managed.name), None)

    def _at_provider(self, managed: Managed) -> Manifest:
        raise NotImplementedError


class Member(_Recorded):
    """A grant to a member on the resource that the field `on` names."""

    def __init__(self, on: str) -> None:
        super().__init__()
        self._on = on

    def update(self, managed: Managed) -> None:
        raise CloudError("a grant cannot be changed, only replaced")

    def _at_provider(self, managed: Managed) -> Manifest:
        wanted = managed.wanted
        found = {name: wanted[name] for name in ("member", "project", "role", self._on) if name in wanted}
        return {**found, "id": f"{wanted[self._on]}/{wanted['role']}/{wanted['member']}"}


class Account(_Recorded):
    """A service account; its external name is what stands before the @."""

    def create(self, managed: Managed) -> str:
        if not _ACCOUNT.fullmatch(str(managed.external_name)):
            raise CloudError(f"{managed.external_name!r} is no account id: {_ACCOUNT.pattern}")
        return super().create(managed)

    def _at_provider(self, managed: Managed) -> Manifest:
        wanted = managed.wanted
        email = f"{managed.external_name}@{wanted['project']}.iam.gserviceaccount.com"
        path = f"projects/{wanted['project']}/serviceAccounts/{email}"
        given: Manifest = {name: wanted[name] for name in ("description", "displayName", "project") if name in wanted}
        return {**given, "email": email, "id": path, "name": path, "member": f"serviceAccount:{email}"}


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)
