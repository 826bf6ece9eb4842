"""Events stand as long as their cause, are written once, and are tried again when they could not be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from asya.operator.cluster import ClusterError
from asya.operator.events import Event, Regarding
from asya.operator.lasting import FRESH, LastingEvents

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ACTOR = Regarding("asya.sh/v1alpha1", "AsyncActor", "shop", "resize", "uid")


def event(message: str = "No module named 'torch'", name: str = "resize.1") -> Event:
    return Event(ACTOR, "HandlerNotLoaded", message, name=name)


@dataclass
class FakeBoard:
    """Keeps what an API server would have; refuses while it is away."""

    there: dict[str, str] = field(default_factory=dict)
    written: list[tuple[str, datetime, int]] = field(default_factory=list)
    away: bool = False

    def put(self, event: Event, since: datetime, count: int) -> None:
        if self.away:
            raise ClusterError("away")
        self.there[event.name] = event.message
        self.written.append((event.name, since, count))

    def take_back(self, event: Event) -> None:
        if self.away:
            raise ClusterError("away")
        del self.there[event.name]


def test_an_event_is_written_once_while_its_cause_lasts_and_goes_with_it() -> None:
    board = FakeBoard()
    events = LastingEvents(board)
    for round_ in range(5):
        events.show({"torch": event()}, NOON + round_ * SECOND)
    assert board.written == [("resize.1", NOON, 1)]
    assert events.namespaces() == {"shop"}
    events.show({}, NOON + 9 * SECOND)
    assert (board.there, events.namespaces()) == ({}, set())
    events.show({"torch": event()}, NOON + 10 * SECOND)
    assert board.written[1:] == [("resize.1", NOON + 10 * SECOND, 1)]


def test_one_that_says_something_else_is_written_over() -> None:
    board = FakeBoard()
    events = LastingEvents(board)
    events.show({"torch": event()}, NOON)
    events.show({"torch": event("No module named 'numpy'")}, NOON + SECOND)
    assert board.there == {"resize.1": "No module named 'numpy'"}
    assert board.written[-1] == ("resize.1", NOON, 2)


def test_the_api_server_is_kept_from_forgetting_it() -> None:
    board = FakeBoard()
    events = LastingEvents(board)
    for moment in (NOON, NOON + FRESH - SECOND, NOON + FRESH):
        events.show({"torch": event()}, moment)
    assert board.written == [("resize.1", NOON, 1), ("resize.1", NOON, 2)]


def test_what_could_not_be_written_or_taken_back_is_tried_again() -> None:
    board = FakeBoard(away=True)
    events = LastingEvents(board)
    events.show({"torch": event()}, NOON)
    board.away = False
    events.show({"torch": event(), "memory": event("killed", "resize.2")}, NOON + SECOND)
    assert set(board.there) == {"resize.1", "resize.2"}
    board.away = True
    events.show({"memory": event("killed", "resize.2")}, NOON + 2 * SECOND)
    assert set(board.there) == {"resize.1", "resize.2"}
    board.away = False
    events.show({"memory": event("killed", "resize.2")}, NOON + 3 * SECOND)
    assert set(board.there) == {"resize.2"}


def test_its_object_has_its_name_and_its_times() -> None:
    manifest = event().manifest(NOON + SECOND, since=NOON, count=2)
    assert manifest["metadata"] == {"name": "resize.1", "namespace": "shop"}
    assert (manifest["firstTimestamp"], manifest["lastTimestamp"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:00:01Z")
    assert (manifest["count"], manifest["type"]) == (2, "Warning")
