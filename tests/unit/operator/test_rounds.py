"""Whose Pods a round asks for: of namespaces where something is amiss, or was, until it is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from tests.unit.operator.objects import Manifest, actor
from tests.unit.operator.statuses import IMPORT_ERROR, NOW, crashing, ended, pod

from asya.operator.cluster import ClusterError, ConflictError
from asya.operator.events import Event
from asya.operator.finalizers import FINALIZER, PATIENCE
from asya.operator.rounds import Rounds

READY = {"conditions": [{"type": "WorkloadReady", "status": "True"}], "replicas": 1, "readyReplicas": 1}
CRASHES = pod(crashing(ended(1, IMPORT_ERROR)))


@dataclass
class FakeCluster:
    """Has what it is given, and notes which Pods are asked for; the API server's own part is tested at a real one."""

    found: list[Manifest]
    there: dict[str, list[Manifest]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    events: dict[str, str] = field(default_factory=dict)
    leaving: list[Manifest] = field(default_factory=list)
    refusal: ClusterError | None = None
    told: list[Event] = field(default_factory=list)

    def actors(self, namespace: str | None = None) -> list[Manifest]:
        return self.found

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        return None

    def apply(self, manifest: Any) -> Manifest:
        return dict(manifest)

    def tell(self, event: Event) -> None:
        self.told.append(event)

    def pods(self, namespace: str) -> Iterator[Manifest]:
        self.asked.append(namespace)
        yield from self.there.get(namespace, ())

    def put(self, event: Event, since: datetime, count: int) -> None:
        self.events[event.name] = event.reason

    def take_back(self, event: Event) -> None:
        del self.events[event.name]

    def queues(self) -> list[Manifest]:
        if self.refusal is not None and not self.leaving:
            raise self.refusal
        return self.leaving

    def has_event(self, of: Manifest, reason: str) -> bool:
        return True

    def set_finalizers(self, queue: Manifest, finalizers: Any) -> None:
        assert self.refusal is not None
        raise self.refusal


def test_no_pod_is_asked_for_where_all_are_ready() -> None:
    cluster = FakeCluster([actor("calm", "a", status=READY), actor("shop", "resize")], {"shop": [CRASHES]})
    assert Rounds(cluster, platform="asya-system", now=lambda: NOW).look() is True
    assert cluster.asked == ["shop"]
    assert list(cluster.events.values()) == ["HandlerNotLoaded"]


def test_it_looks_on_where_something_was_told_until_that_is_over() -> None:
    cluster = FakeCluster([actor("shop", "resize")], {"shop": [CRASHES]})
    rounds = Rounds(cluster, platform="asya-system", now=lambda: NOW)
    rounds.look()
    cluster.found = [actor("shop", "resize", status=READY)]
    assert rounds.look() is False
    assert list(cluster.events.values()) == ["HandlerNotLoaded"], "it is up for a moment between two crashes"
    cluster.there = {"shop": [pod()]}
    rounds.look()
    assert cluster.events == {}
    rounds.look()
    assert cluster.asked == ["shop"] * 3, "and no more"


QUEUE = {
    "apiVersion": "rabbitmq.com/v1beta1",
    "kind": "Queue",
    "metadata": {
        "name": "resize-rabbitmq-queue",
        "namespace": "shop",
        "uid": "7",
        "finalizers": [FINALIZER],
        "deletionTimestamp": (NOW - PATIENCE).isoformat(),
    },
}


def test_a_queue_object_that_cannot_be_let_go_of_is_told_once() -> None:
    cluster = FakeCluster([], leaving=[QUEUE], refusal=ClusterError("forbidden"))
    rounds = Rounds(cluster, platform="asya-system", now=lambda: NOW)
    assert rounds.look() is True
    assert rounds.look() is True
    (event,) = cluster.told
    assert (event.reason, event.regarding.name) == ("QueueObjectStays", "resize-rabbitmq-queue")
    assert event.message.endswith("forbidden")


def test_a_queue_object_that_somebody_writes_meanwhile_is_tried_again_in_silence() -> None:
    cluster = FakeCluster([], leaving=[QUEUE], refusal=ConflictError("written"))
    assert Rounds(cluster, platform="asya-system", now=lambda: NOW).look() is True
    assert cluster.told == []


def test_without_the_right_to_list_queues_a_round_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster([actor("shop", "resize")], {"shop": [CRASHES]}, refusal=ClusterError("forbidden"))
    Rounds(cluster, platform="asya-system", now=lambda: NOW).look()
    assert list(cluster.events.values()) == ["HandlerNotLoaded"]
    assert "Queue objects cannot be listed: forbidden" in caplog.text
