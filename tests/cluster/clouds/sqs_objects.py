"""Queues, and the redrive policies that are objects of their own.

As the provider does it (which is Terraform's AWS provider inside): a queue is created with the attributes that are set,
so an older one of the name with other attributes is refused; its external name is its address; it fills in the redrive
policies that it finds. A redrive policy is an attribute of a queue, written by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.cluster.clouds.aws_calls import asked, comparable, document
from tests.cluster.clouds.managed import Managed, Manifest, Observation, differing

ATTRIBUTES = {
    "deduplicationScope": "DeduplicationScope",
    "delaySeconds": "DelaySeconds",
    "fifoQueue": "FifoQueue",
    "fifoThroughputLimit": "FifoThroughputLimit",
    "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "policy": "Policy",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "redriveAllowPolicy": "RedriveAllowPolicy",
    "redrivePolicy": "RedrivePolicy",
    "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}
_BOOLEANS = ("fifoQueue", "sqsManagedSseEnabled")
_FIXED = "fifoQueue"
"""Only taken when a queue is created."""
_LATE = ("kmsDataKeyReusePeriodSeconds", "maxMessageSize", "redriveAllowPolicy", "redrivePolicy")


class Queue:
    """A queue, but for its redrive policies."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs

    def observe(self, managed: Managed) -> Observation | None:
        url, wanted = managed.external_name, managed.wanted
        answer = url and asked(self._sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["All"])
        if not answer:
            return None
        found = _fields(answer["Attributes"])
        tags = asked(self._sqs.list_queue_tags, QueueUrl=url).get("Tags", {})
        name = str(url).rpartition("/")[2]
        found |= {"id": url, "url": url, "arn": answer["Attributes"]["QueueArn"], "name": name, "tags": tags}
        found["region"] = wanted["region"]
        late = {field: found[field] for field in _LATE if found.get(field) and field not in wanted}
        return Observation(found, not differing(comparable(wanted), comparable(found)), late)

    def create(self, managed: Managed) -> str:
        wanted = managed.wanted
        answer = asked(
            self._sqs.create_queue,
            QueueName=wanted["name"],
            Attributes=_attributes(wanted),
            tags=wanted.get("tags", {}),
        )
        return str(answer["QueueUrl"])

    def update(self, managed: Managed) -> None:
        url, wanted = managed.external_name, managed.wanted
        changeable = {name: value for name, value in wanted.items() if name != _FIXED}
        asked(self._sqs.set_queue_attributes, QueueUrl=url, Attributes=_attributes(changeable))
        tags, found = wanted.get("tags", {}), managed.at_provider.get("tags", {})
        if surplus := sorted(found.keys() - tags.keys()):
            asked(self._sqs.untag_queue, QueueUrl=url, TagKeys=surplus)
        if tags:
            asked(self._sqs.tag_queue, QueueUrl=url, Tags=tags)

    def delete(self, managed: Managed) -> None:
        asked(self._sqs.delete_queue, QueueUrl=managed.external_name)


class QueueAttribute:
    """One JSON attribute of a queue as an object of its own; its external name is the queue's address."""

    def __init__(self, sqs: Any, field: str) -> None:
        self._sqs, self._field = sqs, field

    def observe(self, managed: Managed) -> Observation | None:
        url, attribute = managed.external_name, ATTRIBUTES[self._field]
        answer = url and asked(self._sqs.get_queue_attributes, QueueUrl=url, AttributeNames=[attribute])
        text = answer["Attributes"].get(attribute) if answer and "Attributes" in answer else None
        if not text:
            return None
        at_provider = {"id": url, "queueUrl": url, "region": managed.wanted["region"], self._field: text}
        return Observation(at_provider, document(text) == document(managed.wanted[self._field]))

    def create(self, managed: Managed) -> str:
        url: str = managed.wanted["queueUrl"]
        self._write(url, managed.wanted[self._field])
        return url

    def update(self, managed: Managed) -> None:
        self._write(str(managed.external_name), managed.wanted[self._field])

    def delete(self, managed: Managed) -> None:
        self._write(str(managed.external_name), "")

    def _write(self, url: str, text: str) -> None:
        asked(self._sqs.set_queue_attributes, QueueUrl=url, Attributes={ATTRIBUTES[self._field]: text})


def _attributes(wanted: Mapping[str, Any]) -> dict[str, str]:
    return {ATTRIBUTES[name]: _text(value) for name, value in wanted.items() if name in ATTRIBUTES}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fields(attributes: Mapping[str, str]) -> Manifest:
    found: Manifest = {}
    for name, attribute in ATTRIBUTES.items():
        text = attributes.get(attribute)
        if text is None:
            continue
        if name in _BOOLEANS:
            found[name] = text == "true"
        else:
            found[name] = int(text) if text.isdigit() else text
    return found
