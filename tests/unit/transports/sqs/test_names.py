"""Names at SQS, and the ids of FIFO queues."""

from __future__ import annotations

import json

import pytest

from asya.errors import NoDestinationError, SettingsError
from asya.settings import load
from asya.transports import QueueNames
from asya.transports.settings import SqsSettings
from asya.transports.sqs import order
from asya.transports.sqs.places import dead_letters_name, queue_name

LONG = "a" * 63
NAMES = QueueNames("n" * 40)


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("actor", ["a", LONG])
def test_names_fit_and_tell_what_they_are(actor: str, fifo: bool) -> None:
    own, dead = queue_name(NAMES, actor, fifo=fifo), dead_letters_name(NAMES, actor, fifo=fifo)
    assert max(len(own), len(dead)) <= 80
    assert own != dead
    assert own.startswith(f"asya_{'n' * 40}_a")
    assert own.endswith(".fifo") == dead.endswith("_dlq.fifo") == fifo
    assert fifo or dead.endswith("_dlq")


def test_long_names_that_differ_at_their_end_stay_apart() -> None:
    assert queue_name(NAMES, LONG, fifo=False) != queue_name(NAMES, LONG[:-1] + "b", fifo=False)


@pytest.mark.parametrize("actor", ["", "no/slash", "no.dot", "ü"])
def test_what_no_queue_can_be_called(actor: str) -> None:
    with pytest.raises(NoDestinationError):
        queue_name(NAMES, actor, fifo=False)


def body(name: str = "1", attempt: int = 1, curr: str = "a", **headers: object) -> bytes:
    route = {"prev": [], "curr": curr, "next": []}
    status = {"phase": "pending", "actor": "", "attempt": attempt, "max_attempts": 0}
    return json.dumps({"id": name, "route": route, "headers": headers, "payload": {}, "status": status}).encode()


def test_the_same_step_has_the_same_ids_and_another_step_has_not() -> None:
    assert order.of(body()) == order.of(body())
    for other in (body("2"), body(attempt=2), body(curr="b"), body(**{"x-asya-hop": 3})):
        assert order.of(other).dedup != order.of(body()).dedup


def test_the_group_is_the_header_or_the_task() -> None:
    assert order.of(body(**{"x-asya-group": "customer-7"})).group == "customer-7"
    assert order.of(body("task")).group == "task"
    for odd in ("", "with blank", "x" * 200, "ü"):
        group = order.of(body(**{"x-asya-group": odd})).group
        assert 0 < len(group) <= 128
        assert group.isascii()
        assert " " not in group


def test_what_is_no_envelope_is_in_no_order() -> None:
    assert order.of(b"raw") != order.of(b"raw")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASYA_AWS_REGION", "europe"),
        ("ASYA_SQS_ACCOUNT_ID", "12"),
        ("ASYA_SQS_ENDPOINT", "sqs.local:80"),
        ("ASYA_SQS_LEASE", "1s"),
        ("ASYA_SQS_LEASE", "13h"),
        ("ASYA_SQS_WAIT", "30s"),
        ("ASYA_SQS_MAX_MESSAGE_BYTES", "2000000"),
        ("ASYA_SQS_FIFO", "maybe"),
    ],
)
def test_settings_that_make_no_sense_are_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(SqsSettings, {name: value})


@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-west-1", "cn-north-1", "ap-southeast-5", "us-iso-east-1"])
def test_regions_of_all_partitions_are_taken(region: str) -> None:
    assert load(SqsSettings, {"ASYA_AWS_REGION": region}).region == region
