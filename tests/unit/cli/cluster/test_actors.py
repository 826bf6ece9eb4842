"""What is read of an AsyncActor, and what is told of it."""

from __future__ import annotations

from typing import Any

import click
import pytest

from asya.cli.cluster.actors import Actor, pick, read
from asya.cli.cluster.errors import ClusterError
from asya.cli.cluster.listing import records, table
from asya.cli.cluster.sending import hints

WHERE: Any = type("Where", (), {"context": "kind-asya", "namespace": "shop"})


def actor(name: str = "clean", conditions: dict[str, tuple[str, str]] | None = None, **status: Any) -> Actor:
    told = [{"type": t, "status": s, "reason": "R", "message": m} for t, (s, m) in (conditions or {}).items()]
    return read({"metadata": {"name": name}, "spec": {}, "status": {**status, "conditions": told}})


def test_a_new_actor_without_status_is_read() -> None:
    found = read({"metadata": {"name": "clean"}, "spec": {"actor": "washer"}})
    assert (found.name, found.phase, found.ready, found.transport, found.least, found.most) == (
        "washer", "Creating", False, None, 0, 10,
    )  # fmt: skip


@pytest.mark.parametrize("spec", [{"crossplane": {"compositionRef": {"name": "c"}}}, {"compositionRef": {"name": "c"}}])
def test_the_composition_is_found_in_a_composite_and_in_a_claim(spec: dict[str, Any]) -> None:
    assert read({"metadata": {"name": "a"}, "spec": spec}).composition == "c"


def test_parts_say_what_is_wrong_before_the_whole_does() -> None:
    both = {"Ready": ("False", "Unready resources: queue"), "QueueReady": ("False", "the broker refuses")}
    assert actor(conditions=both).wrong == ["QueueReady: the broker refuses"]
    assert actor(conditions={"Ready": ("False", "Unready")}).wrong == ["Ready: Unready"]
    assert actor(conditions={"Ready": ("False", "Unready")}, message="no image").wrong == ["Ready: no image"]
    assert actor(conditions={"TransportMixed": ("True", "on sqs: b")}).wrong == ["TransportMixed: on sqs: b"]
    assert actor(conditions={"TransportMixed": ("False", ""), "QueueReady": ("True", "")}).wrong == []
    assert actor(conditions={"CrewReady": ("Unknown", "")}).wrong == []


def test_an_actor_that_is_not_there_is_told_with_names_that_are_like_it() -> None:
    actors = [actor("clean"), actor("keywords"), actor("x-sink")]
    assert pick(actors, "keywords", WHERE).name == "keywords"
    with pytest.raises(ClusterError, match=r"context kind-asya has no actor 'clena' in namespace shop; .*'clean'\?"):
        pick(actors, "clena", WHERE)
    with pytest.raises(ClusterError, match=r"there are: clean, keywords$"):
        pick(actors, "zzz", WHERE)
    with pytest.raises(ClusterError, match="comes at the end of every route by itself"):
        pick(actors, "x-sink", WHERE)


def test_who_is_not_ready_is_named_and_that_messages_wait() -> None:
    ready = actor("a", {"Ready": ("True", "")}, phase="Napping")
    assert hints([ready, actor("b", {"WorkloadReady": ("False", "no such image")})]) == [
        "b is not ready, its messages wait in its queue: WorkloadReady: no such image"
    ]


def test_a_table_has_a_row_for_each_and_lines_for_what_is_wrong() -> None:
    fine = actor("a-long-name", phase="Ready", transport="rabbitmq", replicas=3, readyReplicas=2)
    broken = actor("b", {"QueueReady": ("False", "one\ntwo")}, phase="Degraded")
    lines = [click.unstyle(line).split() for line in table([fine, broken])]
    assert lines == [
        ["ACTOR", "PHASE", "TRANSPORT", "REPLICAS", "SCALE"],
        ["a-long-name", "Ready", "rabbitmq", "2/3", "0-10"],
        ["b", "Degraded", "?", "0/0", "0-10"],
        ["QueueReady:", "one", "two"],
    ]
    assert records([broken])[0]["wrong"] == ["QueueReady: one\ntwo"]
