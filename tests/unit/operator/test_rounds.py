"""Whose Pods a round asks for: of namespaces where something is amiss, or was, until it is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.unit.operator.objects import Manifest, actor
from tests.unit.operator.statuses import IMPORT_ERROR, NOW, crashing, ended, pod

from asya.operator.events import Event
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

    def actors(self, namespace: str | None = None) -> list[Manifest]:
        return self.found

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        return None

    def apply(self, manifest: Any) -> Manifest:
        return dict(manifest)

    def tell(self, event: Event) -> None:
        pass

    def pods(self, namespace: str) -> Iterator[Manifest]:
        self.asked.append(namespace)
        yield from self.there.get(namespace, ())

    def put(self, event: Event, since: datetime, count: int) -> None:
        self.events[event.name] = event.reason

    def take_back(self, event: Event) -> None:
        del self.events[event.name]


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
