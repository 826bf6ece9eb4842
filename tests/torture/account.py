"""Where every message is in the end, compared with where it has to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.torture.model import Ends, Message, Result

from asya.errors import WireError
from asya.transports import Depth
from asya.wire import content_id, decode

DEAD = "dlq:"


@dataclass(frozen=True)
class Found:
    """One copy of a message at the end of its way. `phase` and `reason` are None in a dead-letter queue."""

    id: str
    place: str
    phase: str | None = None
    reason: str | None = None


def found(place: str, body: bytes) -> Found:
    """Read what lay at `place`; bytes that are no envelope are known by their content, as the sidecar knows them."""
    try:
        envelope = decode(body)
    except WireError:
        return Found(content_id(body), place)
    if place.startswith(DEAD) or envelope.status is None:
        return Found(envelope.id, place)
    return Found(envelope.id, place, envelope.status.phase, envelope.status.reason)


def settle_up(
    result: Result, messages: Sequence[Message], copies: Iterable[Found], ends: Ends, in_doubt: int = 0
) -> None:
    """Fill in the numbers of `result`, and what is wrong with them.

    `in_doubt`: how many messages may have come once more because something came too late. They count only where the
    row's own bounds are passed: the servers that play clouds are slow, on a busy machine slower than a pod waits.
    """
    expected = {message.id: message for message in messages}
    by_id: dict[str, list[Found]] = defaultdict(list)
    for copy in copies:
        by_id[copy.id].append(copy)
    wanted = [message for message in messages if message.place is not None]
    result.sent = sum(message.sent for message in messages)
    # What has to be nowhere (it was paused, and a receiver knows) is the row's own to check.
    result.delivered = sum(message.id in by_id or message.place is None for message in messages if message.sent)
    lost = [message.id for message in wanted if message.id not in by_id]
    result.lost = len(lost)
    result.duplicated = sum(len(each) - 1 for each in by_id.values())
    if result.duplicated > ends.duplicates or (ends.calls is not None and result.called_twice > ends.calls):
        ends = ends.allowing(in_doubt)
    result.bound, result.call_bound, result.note = ends.duplicates, ends.calls, ends.note
    problems = result.problems
    if lost:
        problems.append(f"lost: {lost[:5]}")
    scattered = [each for each in by_id.values() if len({copy.place for copy in each}) > 1]
    if scattered:
        problems.append(f"at more than one place: {scattered[:3]}")
    if foreign := sorted(by_id.keys() - expected.keys()):
        problems.append(f"nobody sent: {[by_id[each][0] for each in foreign[:5]]}")
    if result.duplicated > ends.duplicates:
        problems.append(f"{result.duplicated} duplicates, at most {ends.duplicates} were allowed")
    if ends.calls is not None and result.called_twice > ends.calls:
        problems.append(f"{result.called_twice} calls too many, at most {ends.calls} were allowed")
    wrong = [
        (copy, expected[copy.id]) for each in by_id.values() for copy in each
        if copy.id in expected and not _is_right(copy, expected[copy.id])
    ]  # fmt: skip
    for copy, message in wrong[:3]:
        problems.append(
            f"{copy.id} is at {copy.place} as {copy.phase}, {copy.reason}; "
            f"expected {message.place}, {message.phase}, {message.reason}"
        )
    if len(wrong) > 3:
        problems.append(f"{len(wrong)} are at a wrong place or have a wrong status")


def check_broker(result: Result, depths: dict[str, Depth], dead: dict[str, int]) -> None:
    """Every queue is empty, delays included; each dead-letter queue holds what was expected there."""
    for actor, depth in depths.items():
        result.broker_state[actor] = {
            "ready": depth.ready, "in_flight": depth.in_flight, "delayed": depth.delayed, "dead": depth.dead
        }  # fmt: skip
        if (depth.ready, depth.in_flight, depth.delayed) != (0, 0, 0):
            result.problems.append(f"the queue of {actor} is not empty: {depth}")
        if depth.dead != dead.get(actor, 0):
            result.problems.append(f"{depth.dead} dead letters of {actor}, expected {dead.get(actor, 0)}")


def _is_right(copy: Found, message: Message) -> bool:
    if copy.place == message.or_place:
        return True
    if copy.place != message.place:
        return False
    if copy.place.startswith(DEAD):
        return True
    return (message.phase is None or copy.phase == message.phase) and message.reason in (None, copy.reason)
