"""From actors to the registry, and back by the model that doors and tools read it with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.operator.objects import Manifest, actor

from asya.api.registry import FILE, Health, RegisteredActor, Registry, read_registry
from asya.errors import ManifestError
from asya.operator import registry

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
STATUS = {
    "phase": "Ready",
    "transport": "sqs",
    "queueIdentifier": "arn:q",
    "queueUrl": "https://q",
    "replicas": 3,
    "conditions": [{"type": "Ready", "status": "True"}],
}


def annotated(**annotations: str) -> Manifest:
    found = actor("shop", "resize", status=STATUS)
    found["metadata"]["annotations"] = {f"asya.sh/{key.replace('_', '-')}": text for key, text in annotations.items()}
    return found


def read(*actors: Manifest, emptied: tuple[str, ...] = ()) -> dict[str, Registry]:
    maps, _ = registry.registries(actors, platform="asya-system", emptied=emptied)
    return {each["metadata"]["namespace"]: read_registry(each) for each in maps}


def only(found: Manifest) -> RegisteredActor:
    entry = read(found)["shop"].find("shop", found["metadata"]["name"])
    assert entry is not None
    return entry


def test_everything_a_door_needs_is_in_it() -> None:
    found = annotated(expose="mcp, http", description="Makes it small.", input_schema=json.dumps(SCHEMA))
    assert only(found) == RegisteredActor(
        name="resize",
        namespace="shop",
        transport="sqs",
        queue="arn:q",
        queue_url="https://q",
        description="Makes it small.",
        input_schema=SCHEMA,
        expose=["http", "mcp"],
        health=Health(ready=True, phase="Ready"),
    )


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ({}, Health(ready=False, phase="Creating")),
        (
            {"phase": "Degraded", "message": "no such flavor", "conditions": [{"type": "Ready", "status": "False"}]},
            Health(ready=False, phase="Degraded", message="no such flavor"),
        ),
        (
            {"phase": "Creating", "conditions": [{"type": "Ready", "status": "False", "message": "queue"}]},
            Health(ready=False, phase="Creating", message="queue"),
        ),
    ],
)
def test_health_is_the_actors_own_word(status: Manifest, health: Health) -> None:
    assert only(actor("shop", "resize", status=status)).health == health


@pytest.mark.parametrize(
    ("annotations", "says"),
    [
        ({"expose": "http,ftp"}, "asya.sh/expose names ftp; expected some of http, a2a, mcp."),
        ({"input_schema": "{"}, "asya.sh/input-schema is not JSON"),
        ({"input_schema": "[]"}, "asya.sh/input-schema is no JSON object"),
    ],
)
def test_a_wrong_annotation_is_told_of_and_the_actor_stays(annotations: dict[str, str], says: str) -> None:
    found = annotated(**annotations)
    maps, events = registry.registries([found], platform="asya-system")
    assert len(read_registry(maps[0]).actors) == 1
    assert [(event.reason, event.regarding.name) for event in events] == [("AnnotationIgnored", "resize")]
    assert events[0].message.startswith(says)


def test_each_namespace_has_its_own_and_the_platform_all() -> None:
    found = read(actor("b", "y"), actor("a", "x"), actor("asya-system", "z"), emptied=("gone", "a"))
    names = {namespace: [f"{each.namespace}/{each.name}" for each in map_.actors] for namespace, map_ in found.items()}
    assert names == {"a": ["a/x"], "b": ["b/y"], "gone": [], "asya-system": ["a/x", "asya-system/z", "b/y"]}


def test_the_same_actors_in_another_order_are_the_same_text() -> None:
    actors = [actor("a", "x"), actor("a", "y"), actor("b", "x")]
    assert registry.registries(actors, platform="p") == registry.registries(actors[::-1], platform="p")


def test_crew_and_leaving_actors() -> None:
    sink, leaving = actor("a", "x-sink"), actor("a", "old")
    sink["metadata"]["labels"] = {"app.kubernetes.io/component": "crew"}
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert [(each.name, each.crew) for each in read(sink, leaving)["a"].actors] == [("x-sink", True)]


def test_too_many_schemas_are_left_out_of_the_one_of_all_only() -> None:
    large = json.dumps({"description": "x" * 300_000})
    actors = [actor(f"n{index}", "x") for index in range(4)]
    for each in actors:
        each["metadata"]["annotations"] = {"asya.sh/input-schema": large}
    maps, _ = registry.registries(actors, platform="asya-system")
    assert all(len(each["data"][FILE]) < registry.MOST_BYTES for each in maps)
    found = {each["metadata"]["namespace"]: read_registry(each) for each in maps}
    assert [bool(each.input_schema) for each in found["asya-system"].actors] == [False] * 4
    assert all(found[f"n{index}"].actors[0].input_schema for index in range(4))


def test_a_newer_operators_fields_are_passed_over() -> None:
    text = (
        '{"version":1,"new":1,"actors":[{"name":"x","namespace":"a","new":2,"health":{"ready":true,"phase":"Ready"}}]}'
    )
    assert read_registry({"data": {FILE: text}}).actors[0].name == "x"


@pytest.mark.parametrize("data", [None, {}, {FILE: "{"}, {FILE: '{"version":2}'}])
def test_what_is_no_registry_is_refused(data: Any) -> None:
    with pytest.raises(ManifestError, match="no registry of actors"):
        read_registry({"data": data})
