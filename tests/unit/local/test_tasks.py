"""What becomes of a task when a client or a sidecar says something about it."""

import json
from typing import Any

import msgspec
import pytest
from tests.unit.local.story import Story

from asya.local import views
from asya.local.problems import ApiError
from asya.local.tasks import EVENTS_KEPT


def plain(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def status_of(story: Story, task_id: str = "t") -> str:
    return views.task(story.db, task_id).status


def test_a_task_goes_through_its_route_and_ends_with_its_result(story: Story) -> None:
    story.create(route=["a", "b"], now=100.0, deadline_at=400.0)
    assert plain(views.task(story.db, "t")) | {"children": None} == {
        "id": "t", "parent_id": None, "actor": "a", "route": ["a", "b"], "status": "pending", "progress": 0.0,
        "created_at": "1970-01-01T00:01:40.000Z", "updated_at": "1970-01-01T00:01:40.000Z",
        "deadline_at": "1970-01-01T00:06:40.000Z", "result": None, "error": None, "reason": None, "partial": None,
        "children": None,
    }  # fmt: skip
    story.report("t", "processing", 101, actor="a", hop=0, prev=[], next=["b"], instance="h:1")
    assert (status_of(story), views.task(story.db, "t").progress) == ("running", 0.0)
    story.report("t", "completed", 102, actor="a", hop=0, row="result", duration_ms=900.0, to=["b"], size_bytes=7)
    story.report("t", "processing", 103, actor="b", hop=1, prev=["a"], next=[], instance="h:2")
    task = views.task(story.db, "t")
    assert (task.actor, task.route, task.progress) == ("b", ["a", "b"], 0.5)
    story.report("t", "succeeded", 104, actor="x-sink", reason="Completed", payload={"n": 1})
    task = plain(views.task(story.db, "t"))
    assert (task["status"], task["result"], task["progress"], task["reason"]) == (
        "succeeded",
        {"n": 1},
        1.0,
        "Completed",
    )


@pytest.mark.parametrize("first", ["succeeded", "failed", "canceled"])
@pytest.mark.parametrize("second", ["succeeded", "failed", "canceled", "paused", "processing"])
def test_the_first_final_status_wins(story: Story, first: str, second: str) -> None:
    story.create()
    story.report("t", first, 101, reason="First", payload=1)
    assert story.report("t", second, 102, actor="late", reason="Second", payload=2) == []
    task = plain(views.task(story.db, "t"))
    assert (task["status"], task["reason"], task["actor"]) == (first, "First", "a")
    # What ended otherwise has no result: the payload of its final report is what the failed call was given.
    assert task["result"] == (1 if first == "succeeded" else None)


def test_progress_that_arrives_behind_the_pause_does_not_resume(story: Story) -> None:
    story.create()
    story.report("t", "paused", 105, actor="a", reason="Asked")
    story.report("t", "processing", 104, actor="a", next=["b"])
    assert status_of(story) == "paused"
    story.report("t", "processing", 106, actor="b", prev=["a"])
    assert (status_of(story), views.task(story.db, "t").actor) == ("running", "b")


def test_a_late_report_does_not_bring_the_actor_back(story: Story) -> None:
    story.create()
    story.report("t", "processing", 103, actor="b", hop=1, prev=["a"])
    story.report("t", "processing", 101, actor="a", hop=0, next=["b"])
    task = views.task(story.db, "t")
    assert (task.actor, task.progress) == ("b", 0.5)


def test_a_dropped_report_of_the_beginning_leaves_a_hop_and_a_running_task(story: Story) -> None:
    story.create()
    story.report("t", "completed", 102, actor="a", hop=0, row="result", duration_ms=5.0)
    assert status_of(story) == "running"
    [hop] = views.trace(story.db, "t").hops
    assert (hop.status, hop.started_at, hop.duration_ms) == ("completed", None, 5.0)


def test_the_trace_tells_attempts_errors_and_deliveries(story: Story) -> None:
    story.create()
    begin = {"actor": "a", "hop": 0, "prev": [], "next": ["b"]}
    story.report("t", "processing", 101, attempt=1, instance="h:1", **begin)
    story.report("t", "processing", 102, attempt=1, instance="h:2", **begin)  # the first sidecar was killed
    error = {"type": "ValueError", "message": "no"}
    story.report("t", "retrying", 103, attempt=1, actor="a", hop=0, row="handler-error", delay_s=2.0, error=error)
    story.report("t", "processing", 105, attempt=2, instance="h:2", **begin)
    first, second = plain(views.trace(story.db, "t"))["hops"]
    assert (first["status"], first["deliveries"], first["instance"], first["delay_s"]) == ("retrying", 2, "h:2", 2.0)
    assert (first["error"], first["row"], first["started_at"]) == (error, "handler-error", "1970-01-01T00:01:41.000Z")
    assert (second["attempt"], second["status"], second["ended_at"]) == (2, "processing", None)


def test_children_form_a_tree_and_are_counted_over_all_generations(story: Story) -> None:
    story.create(deadline_at=500.0)
    story.report("t", None, kind="children", actor="a", children=["c1", "c2"])
    story.report("c1", None, kind="children", actor="b", children=["g1"])
    story.report("g1", "succeeded", 110, payload=None)
    story.report("c2", "failed", 111, reason="PolicyExhausted")
    counts = plain(views.task(story.db, "t").children)
    assert counts == {"total": 3, "succeeded": 1, "failed": 1, "canceled": 0, "open": 1}
    trace = views.trace(story.db, "t")
    assert [child.id for child in trace.children] == ["c1", "c2"]
    assert [child.id for child in trace.children[0].children] == ["g1"]
    assert views.task(story.db, "c1").deadline_at == views.task(story.db, "t").deadline_at
    assert [task.id for task in views.roots(story.db, None, 10, 0)[0]] == ["t"]


def test_the_same_children_reported_again_change_nothing(story: Story) -> None:
    story.create()
    assert story.report("t", None, kind="children", children=["c1"]) == ["c1"]
    story.report("c1", "succeeded", 110, payload=1)
    assert story.report("t", None, kind="children", children=["c1"]) == []
    assert status_of(story, "c1") == "succeeded"


def test_a_child_nobody_announced_is_made_when_its_parent_is_known(story: Story) -> None:
    story.create()
    story.report("c1", "processing", 102, parent_id="t", actor="b", prev=["a"])
    assert (status_of(story, "c1"), views.task(story.db, "c1").parent_id) == ("running", "t")
    with pytest.raises(ApiError) as caught:
        story.report("c2", "processing", 102, parent_id="nobody", actor="b")
    assert caught.value.status == 404


def test_cancel_takes_the_whole_tree_and_those_born_later(story: Story) -> None:
    story.create()
    story.report("t", None, kind="children", children=["c1", "c2"])
    story.report("c1", None, kind="children", children=["g1"])
    story.report("c2", "succeeded", 103, payload=1)
    assert sorted(story.tasks.cancel("t", now=105.0)) == ["c1", "g1", "t"]
    assert [status_of(story, name) for name in ("t", "c1", "g1", "c2")] == ["canceled"] * 3 + ["succeeded"]
    # c2 had ended well, but its results were still on their way.
    story.report("c2", None, kind="children", children=["g2"])
    assert status_of(story, "g2") == "canceled"
    assert story.tasks.cancel("t", now=106.0) == []
    assert views.canceled_among(story.db, ["g2", "c2", "nobody", "t"]) == ["g2", "t"]


def test_cancel_of_a_task_nobody_knows_is_refused(story: Story) -> None:
    with pytest.raises(ApiError) as caught:
        story.tasks.cancel("nobody", now=1.0)
    assert (caught.value.status, caught.value.problem) == (404, "unknown_task")


def test_an_id_in_use_is_refused_and_what_was_taken_back_is_free(story: Story) -> None:
    story.create("t")
    with pytest.raises(ApiError) as caught:
        story.create("t")
    assert caught.value.status == 409
    story.tasks.forget("t")
    story.create("t")


def test_the_event_log_is_bounded_and_keeps_the_newest(story: Story) -> None:
    story.create()
    for index in range(EVENTS_KEPT + 500):
        story.report("t", None, kind="fly", at=101.0, n=index)
    kept = views.events_after(story.db, "t", 0, limit=5000)
    assert EVENTS_KEPT <= len(kept) <= EVENTS_KEPT + 200
    assert json.loads(bytes(kept[-1].data)) == {"n": EVENTS_KEPT + 499}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"at": "yesterday"}, "no RFC 3339 time"),
        ({"status": None}, "a status report without status"),
        ({"data": {}}, "a hop without an actor"),
        ({"data": {"actor": 1}}, "an actor that is no text"),
    ],
)
def test_a_report_that_cannot_be_read_is_refused_and_leaves_nothing(
    story: Story, change: dict[str, Any], reason: str
) -> None:
    story.create()
    report = {"id": "t", "type": "status", "status": "processing", "at": "2024-01-01T00:00:00Z", "data": {"actor": "a"}}
    with pytest.raises(ApiError) as caught:
        story.apply(report | change)
    assert caught.value.status == 400, reason
    assert (status_of(story), views.trace(story.db, "t").hops) == ("pending", [])


def test_roots_are_listed_newest_first_in_pages_and_by_status(story: Story) -> None:
    for index in range(5):
        story.create(f"t{index}", now=100.0 + index)
    story.report("t3", "failed", 200, reason="x")
    page, total = views.roots(story.db, None, 2, 1)
    assert ([task.id for task in page], total) == (["t3", "t2"], 5)
    page, total = views.roots(story.db, "failed", 10, 0)
    assert ([task.id for task in page], total) == (["t3"], 1)
