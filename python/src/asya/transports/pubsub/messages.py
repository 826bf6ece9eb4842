"""What travels to Pub/Sub and back: the fields that are used of google.pubsub.v1, by name, number and type.

Google's package of these messages takes a second of CPU time and 30 MiB to import, because it holds the clients too.
Fields that are missing here are skipped on receipt, as Protocol Buffers have it. A test compares this with Google's.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE: Final = "google.pubsub.v1"

# A field is "number type", with * for repeated; a type with a capital is a message of this table.
TABLE: Final[dict[str, dict[str, str]]] = {
    "Duration": {"seconds": "1 int64", "nanos": "2 int32"},
    "Timestamp": {"seconds": "1 int64", "nanos": "2 int32"},
    "Attribute": {"key": "1 string", "value": "2 string"},
    "Message": {
        "data": "1 bytes",
        "attributes": "2* Attribute",
        "message_id": "3 string",
        "publish_time": "4 Timestamp",
        "ordering_key": "5 string",
    },
    "PublishRequest": {"topic": "1 string", "messages": "2* Message"},
    "PublishResponse": {"message_ids": "1* string"},
    "Received": {"ack_id": "1 string", "message": "2 Message", "delivery_attempt": "3 int32"},
    "PullRequest": {"subscription": "1 string", "return_immediately": "2 bool", "max_messages": "3 int32"},
    "PullResponse": {"received_messages": "1* Received"},
    "StreamRequest": {
        "subscription": "1 string",
        "stream_ack_deadline_seconds": "5 int32",
        "max_outstanding_messages": "7 int64",
    },
    "Properties": {"exactly_once_delivery_enabled": "1 bool", "message_ordering_enabled": "2 bool"},
    "StreamResponse": {"received_messages": "1* Received", "subscription_properties": "4 Properties"},
    "AcknowledgeRequest": {"subscription": "1 string", "ack_ids": "2* string"},
    "ModifyRequest": {"subscription": "1 string", "ack_deadline_seconds": "3 int32", "ack_ids": "4* string"},
    "Topic": {"name": "1 string"},
    "TopicRequest": {"topic": "1 string"},
    "DeadLetterPolicy": {"dead_letter_topic": "1 string", "max_delivery_attempts": "2 int32"},
    "ExpirationPolicy": {"ttl": "1 Duration"},
    "Subscription": {
        "name": "1 string",
        "topic": "2 string",
        "ack_deadline_seconds": "5 int32",
        "message_retention_duration": "8 Duration",
        "enable_message_ordering": "10 bool",
        "expiration_policy": "11 ExpirationPolicy",
        "dead_letter_policy": "13 DeadLetterPolicy",
        "enable_exactly_once_delivery": "16 bool",
    },
    "SubscriptionRequest": {"subscription": "1 string"},
    "SnapshotRequest": {"name": "1 string", "subscription": "2 string"},
    "SnapshotName": {"snapshot": "1 string"},
    "SeekRequest": {"subscription": "1 string", "snapshot": "3 string"},
    "Nothing": {},
    "Any": {"type_url": "1 string", "value": "2 bytes"},
    "Status": {"code": "1 int32", "message": "2 string", "details": "3* Any"},
    "ErrorInfo": {"reason": "1 string", "domain": "2 string", "metadata": "3* Attribute"},
}
"""`Attribute` is an entry of a map; on the wire a map is a list of its entries. The last three are google.rpc's."""

_TYPES: Final = {"string": 9, "bytes": 12, "bool": 8, "int32": 5, "int64": 3}
_MESSAGE: Final = 11
_OPTIONAL, _REPEATED = 1, 3


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="asya_pubsub.proto", package="asya.pubsub", syntax="proto3")
    for name, fields in TABLE.items():
        message = file.message_type.add(name=name)
        for field, spelled in fields.items():
            number, kind = spelled.split()
            message.field.add(
                name=field,
                number=int(number.rstrip("*")),
                label=_REPEATED if number.endswith("*") else _OPTIONAL,
                type=_TYPES.get(kind, _MESSAGE),
                type_name=f".asya.pubsub.{kind}" if kind not in _TYPES else None,
            )
    # A pool of our own: a handler's process may hold Google's definitions as well.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"asya.pubsub.{name}") for name in TABLE}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


CLASSES: Final[dict[str, Any]] = _classes()
"""The classes of the messages, by their names in `TABLE`."""
