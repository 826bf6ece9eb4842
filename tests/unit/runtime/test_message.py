"""Paths, and reading and changing what travels with a payload."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

import pytest
from tests.unit.runtime.fake_sidecar import META

from asya_runtime import ABIError, Context, Message, ResultNotSerializable, parse_path


def message(**changed: Any) -> Message:
    return Message(json.dumps({**META, **changed}).encode(), 60.0)


def changes(of: Message) -> Any:
    text = of.changes()
    return json.loads(text) if text else None


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        (".id", ("id",)),
        (".route.next[0]", ("route", "next", 0)),
        (".route.next[-1]", ("route", "next", -1)),
        (".route.next[:0]", ("route", "next", slice(None, 0))),
        (".route.next[999:]", ("route", "next", slice(999, None))),
        (".route.next[-2:-1]", ("route", "next", slice(-2, -1))),
        (".route.next[:]", ("route", "next", slice(None, None))),
        ('.headers["a.b"].c', ("headers", "a.b", "c")),
        (r'.headers["q\"\u00fc]"]', ("headers", 'q"ü]')),
        (".headers.x-asya-pause", ("headers", "x-asya-pause")),
        (".headers.ключ", ("headers", "ключ")),
    ],
)
def test_a_path_is_read(path: str, segments: tuple[object, ...]) -> None:
    assert parse_path(path) == segments


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "id",
        "route.next",
        "..id",
        ".id.",
        ".route next",
        ".route. next",
        ".route.next [0]",
        ".route.next[0]x",
        ".route.next[0] .a",
        ".route.next[a]",
        ".route.next[]",
        ".route.next[0",
        ".route.next[0:1:2]",
        ".route.next[:0].a",
        ".headers['a']",
        '.headers["a]',
        r'.headers["\x"]',
        '["headers"]',
        ".payload",
        ".route.previous",
        ".idx",
        ".headersx",
        None,
        7,
    ],
)
def test_anything_else_is_no_path(path: object) -> None:
    with pytest.raises(ABIError):
        message().get(path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".id", "m-1"),
        (".parent_id", None),
        (".route", META["route"]),
        (".route.prev", ["a"]),
        (".route.curr", "b"),
        (".route.next", ["c", "d"]),
        (".route.next[-1]", "d"),
        (".route.next[5]", None),
        (".headers.tenant", "t1"),
        ('.headers.deep["a.b"]', "dotted"),
        (".headers.deep.list[1]", 2),
        (".headers.nothing", None),
        (".headers.nothing.deeper", None),
        (".status.attempt", 3),
    ],
)
def test_get(path: str, value: object) -> None:
    read = message()
    assert read.get(path) == value
    assert changes(read) is None


def test_get_gives_a_copy() -> None:
    read = message()
    read.get(".headers")["deep"]["list"].append(4)
    assert read.get(".headers.deep.list") == [1, 2, 3]


def test_absent_parts_are_there_and_empty() -> None:
    bare = Message(b'{"id": "x", "route": {"curr": "b"}, "headers": null}', None)
    assert (bare.get(".headers"), bare.get(".status"), bare.get(".route.next"), bare.get(".parent_id")) == (
        {},
        {},
        [],
        None,
    )


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        (".route.next", ["x"], {"next": ["x"]}),
        (".route.next", [], {"next": []}),
        (".route.next[:0]", ["x", "y"], {"next": ["x", "y", "c", "d"]}),
        (".route.next[999:]", ["x"], {"next": ["c", "d", "x"]}),
        (".route.next[0:1]", ["x"], {"next": ["x", "d"]}),
        (".route.next[-1]", "x", {"next": ["c", "x"]}),
        (".route.next", ["c", "d"], None),
        (".headers", {}, {"headers": {}}),
        (".headers.new", {"a": (1, {2})}, {"headers": {**META["headers"], "new": {"a": [1, [2]]}}}),
        ('.headers["a.b"]', 1, {"headers": {**META["headers"], "a.b": 1}}),
        (".headers.deep.list[:0]", [0], {"headers": {"tenant": "t1", "deep": {"list": [0, 1, 2, 3], "a.b": "dotted"}}}),
        (".status.reason", "Mine", {"status": {**META["status"], "reason": "Mine"}}),
        (".status", {"phase": "paused"}, {"status": {"phase": "paused"}}),
    ],
)
def test_set(path: str, value: object, changed: object) -> None:
    written = message()
    assert written.set(path, value) is None
    assert changes(written) == changed


def test_set_keeps_a_copy() -> None:
    written = message()
    actors = ["x"]
    written.set(".route.next", actors)
    actors.append("y")
    assert changes(written) == {"next": ["x"]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".id", "x"),
        (".parent_id", "x"),
        (".route", {}),
        (".route.prev", []),
        (".route.prev[0]", "x"),
        (".route.curr", "x"),
        (".route.next", "x"),
        (".route.next[:0]", "x"),
        (".route.next[7]", "x"),
        (".route.next.a", "x"),
        (".headers", []),
        (".status", None),
        (".headers.nothing.deeper", 1),
        (".headers.tenant.deeper", 1),
        (".headers[0]", 1),
    ],
)
def test_what_cannot_be_set(path: str, value: object) -> None:
    written = message()
    with pytest.raises(ABIError):
        written.set(path, value)
    assert changes(written) is None


def test_set_takes_only_json() -> None:
    with pytest.raises(ResultNotSerializable):
        message().set(".headers.x", object())


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        (".headers.tenant", {"headers": {"deep": META["headers"]["deep"]}}),
        (".headers.nothing", None),
        (".headers", {"headers": {}}),
        (".route.next", {"next": []}),
        (".route.next[0]", {"next": ["d"]}),
        (".status", {"status": {}}),
    ],
)
def test_delete(path: str, changed: object) -> None:
    written = message()
    written.delete(path)
    assert changes(written) == changed


@pytest.mark.parametrize("path", [".id", ".route.curr", ".route", ".route.next[:1]", ".headers.nothing.deeper"])
def test_what_cannot_be_deleted(path: str) -> None:
    with pytest.raises(ABIError):
        message().delete(path)


def test_the_context_reads_everything() -> None:
    flown: list[object] = []
    context = Context(message(parent_id="p", timeout=None), flown.append)
    assert (context.id, context.parent_id, context.attempt) == ("m-1", "p", 3)
    assert (context.route.prev, context.route.curr, context.route.next) == (("a",), "b", ["c", "d"])
    assert context.headers["tenant"] == "t1"
    assert context.deadline == dt.datetime(2099, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC)
    assert context.timeout == 60.0
    context.fly({"n": 1})
    assert flown == [{"n": 1}]


@pytest.mark.parametrize(
    ("text", "micros"),
    [("2026-01-02T03:04:05Z", 0), ("2026-01-02T03:04:05.1z", 100_000), ("2026-01-02T05:04:05.1234567+02:00", 123_456)],
)
def test_the_deadline_may_be_written_in_any_rfc_3339_way(text: str, micros: int) -> None:
    context = Context(message(status={"deadline_at": text}), print)
    assert context.deadline == dt.datetime(2026, 1, 2, 3, 4, 5, micros, tzinfo=dt.UTC)


def test_remaining_is_what_is_left_of_the_nearer_end() -> None:
    assert 299 < (Context(message(), print).remaining or 0) <= 300
    past = Context(message(status={"deadline_at": "2001-01-01T00:00:00Z"}), print)
    assert past.remaining == 0.0
    soon = dt.datetime.fromtimestamp(time.time() + 20, dt.UTC).isoformat()
    assert 15 < (Context(message(status={"deadline_at": soon}), print).remaining or 0) <= 20
    assert Context(Message(b'{"id": "x", "route": {"curr": "b"}}', None), print).remaining is None


def test_the_context_writes_in_place_and_whole() -> None:
    written = message()
    context = Context(written, print)
    assert changes(written) is None
    context.route.next.insert(0, "x")
    context.headers["deep"]["list"].clear()
    assert changes(written) == {
        "next": ["x", "c", "d"],
        "headers": {"tenant": "t1", "deep": {"list": [], "a.b": "dotted"}},
    }
    context.route.next = ["y"]
    context.headers = {"only": 1}
    context.status = {"reason": "r"}
    assert changes(written) == {"next": ["y"], "headers": {"only": 1}, "status": {"reason": "r"}}


def test_reading_through_the_context_changes_nothing() -> None:
    read = message()
    context = Context(read, print)
    assert (context.route.next, context.headers, context.status) == (["c", "d"], META["headers"], META["status"])
    assert changes(read) is None


def test_a_route_that_is_one_name_is_not_taken_apart() -> None:
    context = Context(message(), lambda _: None)
    with pytest.raises(ABIError, match=r"write \['plain'\]"):
        context.route.next = "plain"  # type: ignore[assignment]
