"""Which crew belongs where."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.objects import CREW, Manifest, actor, crew_map

from asya.errors import ManifestError
from asya.operator import crew

MEMBERS = crew.read(crew_map())


def wanted(*actors: Manifest, crew_namespace: str | None = None) -> list[tuple[str, str, str | None]]:
    manifests, _ = crew.wanted(MEMBERS, actors, crew_namespace)
    return [
        (each["metadata"]["namespace"], each["metadata"]["name"], each["spec"].get("transport")) for each in manifests
    ]


def leaving(found: Manifest) -> Manifest:
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return found


def ours(name: str, **spec: Any) -> Manifest:
    return actor("a", name, manager="asya-operator", **spec)


@pytest.mark.parametrize(
    ("actors", "crew_namespace", "expected"),
    [
        ([], None, []),
        ([], "crew", []),
        ([actor("a", "x")], None, [("a", "x-sink", None), ("a", "x-sump", None)]),
        (
            [actor("b", "x"), actor("a", "x")],
            None,
            [("a", "x-sink", None), ("a", "x-sump", None), ("b", "x-sink", None), ("b", "x-sump", None)],
        ),
        ([actor("b", "x"), actor("a", "x")], "crew", [("crew", "x-sink", None), ("crew", "x-sump", None)]),
        ([leaving(actor("a", "x"))], None, []),
        ([ours("x-sink"), ours("x-sump")], None, []),
        ([actor("a", "x"), ours("x-sink")], None, [("a", "x-sink", None), ("a", "x-sump", None)]),
        ([actor("a", "x"), actor("a", "x-sink")], None, [("a", "x-sump", None)]),
        ([actor("a", "x"), actor("a", "mine", actor="x-sink")], None, [("a", "x-sump", None)]),
        ([actor("a", "x", transport="sqs")], None, [("a", "x-sink", "sqs"), ("a", "x-sump", "sqs")]),
        ([actor("a", "x", transport="sqs"), actor("a", "y")], None, [("a", "x-sink", None), ("a", "x-sump", None)]),
        (
            [actor("a", "x", transport="sqs"), actor("a", "y"), ours("x-sink", transport="pubsub")],
            None,
            [("a", "x-sink", "pubsub"), ("a", "x-sump", None)],
        ),
    ],
    ids=[
        "nobody",
        "nobody-elsewhere",
        "one",
        "two-namespaces",
        "one-crew-for-all",
        "leaving",
        "crew-alone",
        "half-there",
        "somebody-elses",
        "somebody-elses-by-another-name",
        "named-transport",
        "mixed-transports",
        "mixed-transports-keep-the-crew-where-it-is",
    ],
)
def test_where_the_crew_goes(actors: list[Manifest], crew_namespace: str | None, expected: list[Any]) -> None:
    assert wanted(*actors, crew_namespace=crew_namespace) == expected


def test_an_actor_in_the_crews_place_is_told_of_once_it_is_not_the_platforms() -> None:
    stranger, delivered = actor("a", "x-sink"), actor("a", "x-sump")
    delivered["metadata"]["labels"] = {"app.kubernetes.io/component": "crew"}
    manifests, events = crew.wanted(MEMBERS, [actor("a", "x"), stranger, delivered], None)
    assert manifests == []
    assert [(event.reason, event.regarding.name, event.regarding.uid) for event in events] == [
        ("CrewReplaced", "x-sink", "uid-of-x-sink")
    ]


def test_the_crews_own_handler_applied_by_hand_is_no_stranger() -> None:
    (sink,) = (each for each in MEMBERS if each["metadata"]["name"] == "x-sink")
    by_hand = actor("a", "x-sink")
    by_hand["spec"]["handler"] = sink["spec"]["handler"]
    _, events = crew.wanted(MEMBERS, [actor("a", "x"), by_hand], None)
    assert events == []


def test_members_are_marked_as_the_operators() -> None:
    (sink, _), _ = crew.wanted(MEMBERS, [actor("a", "x")], None)
    assert sink["metadata"]["labels"] == {
        "app.kubernetes.io/part-of": "asya",
        "app.kubernetes.io/component": "crew",
        "app.kubernetes.io/managed-by": "asya-operator",
    }
    assert "namespace" not in MEMBERS[0]["metadata"]


@pytest.mark.parametrize(
    ("config_map", "says"),
    [
        ({"metadata": {"name": "asya-crew"}}, "mode `operator`"),
        (crew_map("a: ["), "not YAML"),
        (crew_map("kind: ConfigMap"), "something else"),
        (crew_map("[]"), "something else"),
        (crew_map(CREW.replace("name: x-sink", "{}")), "not YAML"),
    ],
)
def test_an_unreadable_crew_is_named(config_map: Manifest, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        crew.read(config_map)
