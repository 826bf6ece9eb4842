"""Envelopes into the queues of a namespace, and what its x-sink kept of them."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.parse
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import boto3
import httpx
from botocore.config import Config
from tests.cluster.e2e.target import Target
from tests.cluster.waiting import wait_until

from asya.settings import load
from asya.transports import Outgoing, open_transport
from asya.transports.rabbitmq.ladder import Ladder
from asya.transports.settings import TransportSettings
from asya.wire import encode, new_envelope, raw

BUCKET = "results"
S3_LOGIN = {"AWS_ACCESS_KEY_ID": "e2e-checkpoints", "AWS_SECRET_ACCESS_KEY": "e2e-checkpoints-secret-key"}
REGION = "eu-west-1"
BATCH = 100
LIST_SECONDS, LIST_PAUSES = 5.0, 3
_DELETED = 1000
"""Objects that S3 takes in one request for deletion, at most."""
# moto sorts all objects for each page, and S3 itself gives what it likes to give.
_ALL: dict[str, Any] = {"PaginationConfig": {"PageSize": 100_000}}
Payload = Mapping[str, Any]


class Mail:
    """The messages of one namespace. Results are in a bucket with versions, so a result that was kept twice is seen."""

    def __init__(self, target: Target, namespace: str) -> None:
        self._target = target
        self.namespace = namespace

    def environ(self, **more: str) -> dict[str, str]:
        """Settings of the transport as the broker's administrator."""
        url = {"ASYA_RABBITMQ_URL": self._target.amqp_url, "ASYA_RABBITMQ_MANAGEMENT_URL": self._target.management_url}
        return {"ASYA_TRANSPORT": "rabbitmq", "ASYA_NAMESPACE": self.namespace, **url, **more}

    def send(self, route: Sequence[str], payloads: Iterable[Payload]) -> list[str]:
        """Publish an envelope for each payload to the first of `route`, confirmed by the broker; return their ids."""
        envelopes = [new_envelope(list(route), raw(dict(payload)), now=time.time()) for payload in payloads]

        async def publish() -> None:
            transport = open_transport(load(TransportSettings, self.environ()))
            await transport.open()
            try:
                for start in range(0, len(envelopes), BATCH):
                    batch = envelopes[start : start + BATCH]
                    await transport.publish([Outgoing(route[0], encode(each)) for each in batch])
            finally:
                await transport.close()

        with self._target.network():
            asyncio.run(publish())
        return [each.id for each in envelopes]

    def kept(self) -> dict[str, tuple[str, int]]:
        """Return the outcome of each message that x-sink kept, and how often it did, by the message's id."""
        found: dict[str, tuple[str, int]] = {}
        for version in self._versions():
            outcome, name = _parts(version["Key"])
            found[name] = (outcome, found.get(name, ("", 0))[1] + 1)
        return found

    def forget(self) -> None:
        """Take away what was kept so far, of all namespaces; moto takes long to list many objects."""
        found = [{name: each[name] for name in ("Key", "VersionId")} for each in self._versions()]
        with self._target.network():
            client = _s3(self._target)
            for start in range(0, len(found), _DELETED):
                client.delete_objects(Bucket=BUCKET, Delete={"Objects": found[start : start + _DELETED], "Quiet": True})

    def result(self, identifier: str) -> dict[str, Any]:
        """Return what x-sink kept of a message.

        Raises:
            KeyError: It has not.
        """
        return self.results([identifier])[0]

    def results(self, identifiers: Sequence[str]) -> list[dict[str, Any]]:
        """Return what x-sink kept of each of these messages.

        Raises:
            KeyError: It has not.
        """
        keys = {_parts(each["Key"])[1]: each["Key"] for each in self._versions()}
        with self._target.network():
            client = _s3(self._target)
            bodies = [client.get_object(Bucket=BUCKET, Key=keys[each])["Body"] for each in identifiers]
            return [json.loads(body.read()) for body in bodies]

    def _versions(self) -> list[dict[str, Any]]:
        with self._target.network():
            pages = _s3(self._target).get_paginator("list_object_versions").paginate(Bucket=BUCKET, **_ALL)
            return [version for page in pages for version in page.get("Versions", ())]

    def wait(self, identifiers: Sequence[str], seconds: float, *, least: int | None = None) -> int:
        """Wait until x-sink has kept all messages, or at least so many of them; return how many it has.

        The bucket is listed when the queues hold few enough, and else now and then: a list of thousands takes seconds.

        Raises:
            ClusterError: It has not in time.
        """
        wanted, count = set(identifiers), len(identifiers) if least is None else least
        found: set[str] = set()
        due = 0.0

        def there() -> bool:
            nonlocal due
            began = time.monotonic()
            if self._on_their_way() > len(wanted) - count and began < due:
                return False
            found.update(wanted & self.kept().keys())
            # The server that lists is the one that keeps.
            due = time.monotonic() + max(LIST_SECONDS, LIST_PAUSES * (time.monotonic() - began))
            return len(found) >= count

        def told() -> str:
            return f"{len(found)} of {len(wanted)} kept; queues {self.depths()}\n{self._pods()}"

        wait_until(f"{count} results", there, seconds, told)
        return len(found)

    def _on_their_way(self) -> int:
        try:
            return sum(count for name, count in self.depths().items() if not name.endswith("_dlq"))
        except httpx.HTTPError:
            return 0  # the broker is being restarted; the bucket knows

    def depths(self) -> dict[str, int]:
        """Return how many messages each queue of the namespace holds, handed out or not, by the queue's name."""
        begin = f"asya_{self.namespace}_"
        queues = (each for each in self._ask("GET", "/api/queues").json() if each["name"].startswith(begin))
        return {each["name"][len(begin) :]: each.get("messages", 0) for each in queues}

    def lost_delays(self) -> int:
        """Return how many messages have waited for an actor that was gone then, of all namespaces."""
        return int(self._ask("GET", f"/api/queues/%2F/{Ladder().lost}").json().get("messages", 0))

    def occupy(self, actor: str) -> None:
        """Declare an actor's queue as somebody else would: a classic one."""
        self._ask("PUT", self._queue(actor), {"durable": True, "arguments": {"x-queue-type": "classic"}})

    def purge(self, actor: str) -> None:
        """Drop what is in an actor's queue. The queue stays: the topology operator does not get over its absence."""
        self._ask("DELETE", f"{self._queue(actor)}/contents")

    def empty(self, idle: Collection[str] = ()) -> bool:
        """Whether all queues are but those of `idle` actors, by the broker's last count; dead letters do not move."""
        found = self.depths().items()
        return not any(count for name, count in found if not name.endswith("_dlq") and name not in idle)

    def _queue(self, actor: str) -> str:
        return f"/api/queues/%2F/asya_{self.namespace}_{actor}"

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        login = urllib.parse.urlsplit(self._target.amqp_url)
        with self._target.network(), httpx.Client(auth=(login.username or "", login.password or "")) as client:
            answer = client.request(method, f"{self._target.management_url}{path}", json=body, timeout=10)
        answer.raise_for_status()
        return answer

    def _pods(self) -> str:
        return self._target.kubectl("get", "pods,asyncactors", f"--namespace={self.namespace}")


def prepare(target: Target, *buckets: str) -> None:
    """Make the bucket for results, with versions, and others, which everyone may use; those that are there stay."""
    with target.network():
        client = _s3(target)
        there = {each["Name"] for each in client.list_buckets()["Buckets"]}
        for name in {BUCKET, *buckets} - there:
            client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        for name in buckets:
            client.put_bucket_acl(Bucket=name, ACL="public-read-write")
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def _parts(key: str) -> tuple[str, str]:
    outcome, _, name = key.split("/")
    return outcome, name.removesuffix(".json")


def _s3(target: Target) -> Any:
    config = Config(s3={"addressing_style": "path"}, proxies={})
    session = boto3.session.Session(S3_LOGIN["AWS_ACCESS_KEY_ID"], S3_LOGIN["AWS_SECRET_ACCESS_KEY"])
    return session.client("s3", endpoint_url=target.s3_url, region_name=REGION, config=config)
