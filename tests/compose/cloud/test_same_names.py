"""Composer and transport never meet, and have to call everything at a broker the same: each name, from both sides.

What both follow is `asya.policy.naming`; here is shown that they do, for every kind of object that a transport names.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from tests.compose.cloud.actors import ACCOUNT, PUBSUB, SQS, composed, context, queues_at_work, settings

from asya.settings import load
from asya.transports.naming import QueueNames
from asya.transports.pubsub.addresses import Addresses
from asya.transports.registry import queue_names
from asya.transports.settings import TransportSettings
from asya.transports.sqs import places
from asya_composer.model import Context, Manifest
from asya_composer.names import queue
from asya_composer.settings import TransportName
from asya_composer.transports import transport

LONG, NAMESPACE = "n" * 63, "n" * 57
"""The longest of an actor, and of a namespace where queues are FIFO."""
ACTORS = [
    ("shop", "resize"),
    ("shop", "x-sink"),
    ("a-b", "c"),
    ("shop", LONG),
    (NAMESPACE, "resize"),
    (NAMESPACE, LONG),
    (NAMESPACE, f"{LONG[:-1]}m"),
]
STYLES = ["underscore", "dash"]


def read(actor: Context) -> TransportSettings:
    """What the actor's pod is told, as its sidecar reads it."""
    told = {entry["name"]: entry["value"] for entry in transport(actor.transport).pod(actor).env}  # type: ignore[union-attr]
    always = {"ASYA_NAMESPACE": actor.namespace, "ASYA_QUEUE_NAMES": actor.settings.queue_names}
    return load(TransportSettings, {**told, **always, "ASYA_TRANSPORT": actor.transport})


def made(name: TransportName, namespace: str, actor: str, style: str, **own: Any) -> tuple[Context, QueueNames]:
    """An actor, and the names that its sidecar uses."""
    found = context(name, actor, namespace=namespace, platform=settings(name, own=own, queueNames=style))
    return found, queue_names(read(found))


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("namespace", "name"), ACTORS)
def test_queues_at_sqs(namespace: str, name: str, style: str, fifo: bool) -> None:
    actor, names = made("sqs", namespace, name, style, fifo=fifo)
    told = read(actor).sqs
    assert (told.region, told.account_id, told.fifo) == (SQS["region"], ACCOUNT, fifo)
    theirs = {
        "queue": places.queue_name(names, name, fifo=told.fifo),
        "dead-letter-queue": places.dead_letters_name(names, name, fifo=told.fifo),
    }
    found = composed(context("sqs", name, namespace=namespace, platform=actor.settings, observed=queues_at_work(actor)))
    wanted = {key: each.manifest["spec"]["forProvider"] for key, each in found.items()}
    assert {key: wanted[key]["name"] for key in theirs} == theirs
    redrive = json.loads(wanted["redrive-policy"]["redrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(f":{theirs['dead-letter-queue']}")
    policy = json.loads(wanted["role-policy"]["policy"])["Statement"]
    on = {each["Sid"]: each["Resource"] for each in policy}
    assert on["Consume"] == f"arn:aws:sqs:{told.region}:{told.account_id}:{theirs['queue']}"
    arn = f"arn:aws:sqs:{told.region}:{told.account_id}:"
    matched = {key for key, each in theirs.items() if fnmatchcase(arn + each, on["NoDeadLetters"])}
    assert matched == {"dead-letter-queue"}
    assert all(fnmatchcase(arn + each, on["Send"]) for each in theirs.values())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("namespace", "name"), ACTORS)
def test_topics_and_subscriptions_at_pubsub(namespace: str, name: str, style: str) -> None:
    actor, names = made("pubsub", namespace, name, style)
    addresses = Addresses(str(read(actor).pubsub.project), names)
    theirs = {each(name) for each in (addresses.queue, addresses.delayed, addresses.dead_letters)}
    ours: dict[str, set[str]] = {"Topic": set(), "Subscription": set()}
    for manifest in objects(actor):
        if manifest["kind"] in ours:
            project = manifest["spec"]["forProvider"]["project"]
            collection = f"{manifest['kind'].lower()}s"
            external = manifest["metadata"]["annotations"]["crossplane.io/external-name"]
            ours[manifest["kind"]].add(f"projects/{project}/{collection}/{external}")
    assert ours == {
        "Topic": {addresses.topic(each) for each in theirs},
        "Subscription": {addresses.subscription(each) for each in theirs},
    }
    assert addresses.project == PUBSUB["project"]


def objects(actor: Context) -> list[Manifest]:
    return [each.manifest for each in composed(actor).values()]


@pytest.mark.parametrize("cloud", ["sqs", "pubsub"])
@pytest.mark.parametrize("style", STYLES)
def test_a_crew_elsewhere_is_found(cloud: TransportName, style: str) -> None:
    platform = settings(cloud, crewNamespace="mesh", queueNames=style)
    for namespace in ("shop", "mesh"):
        names = queue_names(read(context(cloud, "paint", namespace=namespace, platform=platform)))
        for end in ("x-sink", "x-sump"):
            assert names.queue(end) == queue(context(cloud, end, namespace="mesh", platform=platform))
        assert names.queue("resize") == queue(context(cloud, "resize", namespace=namespace, platform=platform))


@pytest.mark.parametrize("cloud", ["sqs", "pubsub"])
@pytest.mark.parametrize("actor", ["resize", "x-sink"])
@pytest.mark.parametrize("style", STYLES)
def test_neighbours_are_found_by_the_same_rule(cloud: TransportName, style: str, actor: str) -> None:
    """Nobody tells a sender its receiver's queue: it makes up the name."""
    sender, names = made(cloud, "shop", "paint", style)
    assert names.queue(actor) == queue(sender, actor)
