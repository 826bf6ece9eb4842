"""Each row of the truth table, as far as the broker can see it: where the message is afterwards, and where it is not.

The row's own `to` and `settle` say what is carried out; nothing here repeats the table. How the sidecar arrives at a
row is the decision function's test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.contract.transports.harness import Harness, Inbox, depth_becomes, depth_of, until

from asya.errors import LeaseLostError, NoDestinationError, TooLargeError
from asya.transports import Delivery, Outgoing, Settle, Transport

TABLE: Final = Path(__file__).parents[2] / "truth-table.yaml"
ROWS: Final[dict[str, dict[str, Any]]] = {
    row["id"]: row
    for group in yaml.safe_load(TABLE.read_text(encoding="utf-8")).values()
    if isinstance(group, list)
    for row in group
    if isinstance(row, dict)
}

OWN, SINK, SUMP = "own", "x-sink", "x-sump"
QUEUES: Final = (OWN, "next", "next-2", "rescue", SINK, SUMP)
EMPTY: Final = {"ready": 0, "in_flight": 0, "dead": 0}
INPUT: Final = b"\xff the input, not even UTF-8"
# Where a row sends the message, as queues. A pause actor does not exist yet: the row's note says x-sink until then.
DESTINATIONS: Final = {
    "next": "next",
    "self": OWN,
    "sink": SINK,
    "sump": SUMP,
    "on-exhausted": "rescue",
    "pause-actor": SINK,
}


class Scene:
    """One actor that holds one message, and who watches the broker."""

    def __init__(
        self, harness: Harness, actor: Transport, watcher: Transport, inbox: Inbox, delivery: Delivery
    ) -> None:
        self.harness, self.actor, self.watcher, self.inbox, self.delivery = harness, actor, watcher, inbox, delivery

    async def ends_with(self, **changed: dict[str, int]) -> None:
        """Every queue is empty but for those that are named ('_' stands for '-')."""
        expected = {queue: dict(EMPTY) for queue in QUEUES}
        for queue, numbers in changed.items():
            expected[queue.replace("_", "-")] |= numbers
        for queue, numbers in expected.items():
            await depth_becomes(self.harness, self.watcher, queue, **numbers)


async def carry_out(scene: Scene, row: dict[str, Any]) -> None:
    """Do at the transport what a row's `to` and `settle` ask for, and compare the broker's final state."""
    to, settle = resolve(row)
    match to, settle:
        case "broker-dlq", _:
            await scene.actor.complete(scene.delivery, settle=Settle.DEAD_LETTER)
            await scene.ends_with(own={"dead": 1})
            assert await scene.watcher.dead_letters(OWN, 2) == [INPUT]
        case _, "release":
            await scene.actor.complete(scene.delivery, settle=Settle.RELEASE)
            await scene.ends_with(own={"ready": 1})
        case _, "keep":
            await scene.ends_with(own={"in_flight": 1})
            await scene.harness.crash(scene.actor)  # whoever holds it may die: it is not lost
            await scene.ends_with(own={"ready": 1})
        case "nowhere", "ack":
            await scene.actor.complete(scene.delivery)
            await scene.ends_with()
        case _, "ack":
            destination = DESTINATIONS[to]
            await scene.actor.complete(scene.delivery, [Outgoing(destination, b"what replaces it")])
            await scene.ends_with(**{destination.replace("-", "_"): {"ready": 1}})
        case _:
            raise AssertionError(f"no meaning for to={to!r}, settle={settle!r}")


def resolve(row: dict[str, Any]) -> tuple[str, str]:
    """Where to and how settled; "as for X" is X's, and what leaves `settle` open follows the row it leads to."""
    to, settle = row["to"], row.get("settle")
    if to.startswith("as for "):
        return resolve(ROWS[to.removeprefix("as for ")])
    if to == "call":  # a call has to end some way; its plainest end stands for it
        return resolve(ROWS["result"])
    return to, settle or "ack"


async def the_row_alone(scene: Scene, row: dict[str, Any]) -> None:
    """Nothing besides the row's destination and settlement can be seen at the broker."""
    await carry_out(scene, row)


async def fan_out(scene: Scene, row: dict[str, Any]) -> None:
    """Results 1..n while the call runs; result 0 with the settlement."""
    await scene.actor.publish([Outgoing("next", b"1")])
    await scene.actor.publish([Outgoing("next", b"2")])
    await scene.ends_with(own={"in_flight": 1}, next={"ready": 2})
    assert resolve(row) == ("next", "ack")
    await scene.actor.complete(scene.delivery, [Outgoing("next", b"0")])
    await scene.ends_with(next={"ready": 3})


async def stream_failed(scene: Scene, row: dict[str, Any]) -> None:
    """What was published before the error stays; the retry follows."""
    await scene.actor.publish([Outgoing("next", b"1")])
    to, settle = resolve(row)
    assert (to, settle) == ("self", "ack")
    await scene.actor.complete(scene.delivery, [Outgoing(OWN, b"again")])
    await scene.ends_with(own={"ready": 1}, next={"ready": 1})


async def handler_error(scene: Scene, row: dict[str, Any]) -> None:
    """The retry is delayed: not there at once, but there."""
    assert resolve(row) == ("self", "ack")
    await scene.actor.complete(scene.delivery, [Outgoing(OWN, b"again", 3600.0)])
    await scene.ends_with(own={"ready": 0, "delayed": 1})
    await scene.watcher.publish([Outgoing(OWN, b"again", scene.harness.shortest_delay)])
    await scene.ends_with(own={"ready": 1, "delayed": 1})


async def too_large(scene: Scene, row: dict[str, Any]) -> None:
    """Refused before anything is published; then the input goes where the row says."""
    with pytest.raises(TooLargeError):
        await scene.actor.complete(scene.delivery, [Outgoing("next", b"x" * (scene.actor.limits.message_bytes + 1))])
    await scene.ends_with(own={"in_flight": 1})
    await carry_out(scene, row)


async def no_destination(scene: Scene, row: dict[str, Any]) -> None:
    """The delivery is kept while the destination is missing; then it goes where the row says."""
    with pytest.raises(NoDestinationError) as caught:
        await scene.actor.complete(scene.delivery, [Outgoing("not-there", b"x")])
    assert caught.value.actor == "not-there"
    await scene.ends_with(own={"in_flight": 1})
    await carry_out(scene, row)


async def sink_away(scene: Scene, row: dict[str, Any]) -> None:
    """Every destination fails; nothing is settled."""
    await scene.watcher.drop([SINK, SUMP])
    for destination in ("not-there", SINK, SUMP):
        with pytest.raises(NoDestinationError):
            await scene.actor.complete(scene.delivery, [Outgoing(destination, b"x")])
    assert resolve(row) == ("nowhere", "keep")
    await depth_becomes(scene.harness, scene.watcher, OWN, ready=0, in_flight=1, dead=0)
    await scene.harness.crash(scene.actor)
    await depth_becomes(scene.harness, scene.watcher, OWN, ready=1, in_flight=0, dead=0)


async def sigterm(scene: Scene, row: dict[str, Any]) -> None:
    """Closing releases what is held, without a settlement of its own."""
    assert resolve(row) == ("nowhere", "release")
    await scene.actor.close()
    await scene.ends_with(own={"ready": 1})


async def redelivered(scene: Scene, row: dict[str, Any]) -> None:
    """The holder dies; somebody else is called with the same bytes, and the dead one's settlement is void."""
    await scene.harness.crash(scene.actor)
    successor, inbox = await scene.harness.connect(), Inbox()
    await successor.consume(OWN, 1, inbox)
    again = await inbox.take()
    assert (again.body, again.attempts) == (INPUT, 2)
    with pytest.raises(LeaseLostError):
        await scene.actor.complete(scene.delivery, [Outgoing("next", b"too late")])
    await successor.extend(again, 30.0)
    scene.actor, scene.delivery = successor, again
    await carry_out(scene, row)


async def delivery_limit(scene: Scene, row: dict[str, Any]) -> None:
    """The message kills whoever takes it until the transport itself dead-letters it."""
    assert resolve(row)[0] == "broker-dlq"
    await scene.harness.crash(scene.actor)
    for _ in range(5):
        victim, inbox = await scene.harness.connect(), Inbox()
        await victim.consume(OWN, 1, inbox)
        if await comes_or_is_dead(scene, inbox):
            break
        await scene.harness.crash(victim)
    await scene.ends_with(own={"dead": 1})
    assert await scene.watcher.dead_letters(OWN, 2) == [INPUT]


async def comes_or_is_dead(scene: Scene, inbox: Inbox) -> bool:
    """Wait for either; tells whether it is dead."""

    async def dead() -> bool:
        return (await depth_of(scene.watcher, OWN)).dead == 1

    async def either() -> bool:
        return bool(inbox.deliveries) or await dead()

    await until(either, "the message comes again or is dead")
    return not inbox.deliveries


Case = Callable[[Scene, dict[str, Any]], Awaitable[None]]
CASES: Final[dict[str, Case]] = {
    "unparsable": the_row_alone,
    "no-id": the_row_alone,
    "wrong-actor": the_row_alone,
    "terminal-actor": the_row_alone,
    "hop-limit": the_row_alone,
    "canceled": the_row_alone,
    "paused": the_row_alone,
    "deadline-over": the_row_alone,
    "runtime-away": the_row_alone,
    "result": the_row_alone,
    "end-of-route": the_row_alone,
    "nothing": the_row_alone,
    "fan-out": fan_out,
    "stream-failed": stream_failed,
    "pause-asked": the_row_alone,
    "invalid-route": the_row_alone,
    "handler-error": handler_error,
    "retry-too-late": the_row_alone,
    "exhausted-route": the_row_alone,
    "exhausted": the_row_alone,
    "call-timeout": the_row_alone,
    "runtime-crashed": the_row_alone,
    "unserialisable": the_row_alone,
    "canceled-in-call": the_row_alone,
    "too-large": too_large,
    "no-destination": no_destination,
    "broker-refuses": the_row_alone,
    "sink-away": sink_away,
    "sink-hooks-left": the_row_alone,
    "sink-done": the_row_alone,
    "sink-failed": the_row_alone,
    "sump-done": the_row_alone,
    "sump-failed": the_row_alone,
    "sigterm": sigterm,
    "redelivered": redelivered,
    "delivery-limit": delivery_limit,
}
# Rows in which a holder dies: where leases exist, they have to run out within the test.
SHORT_LEASES: Final = {"broker-refuses", "sink-away", "redelivered", "delivery-limit"}


def test_every_row_has_a_case() -> None:
    assert len(ROWS) > 30
    assert set(CASES) == set(ROWS)


@pytest.mark.parametrize("row", sorted(CASES))
async def test_row(harness: Harness, row: str) -> None:
    harness.message_bytes = 64 * 1024
    if row in SHORT_LEASES:
        harness.lease_seconds = 0.6
    limit = 2 if row == "delivery-limit" else 50
    watcher = await harness.connect(*QUEUES, delivery_limit=limit)
    actor, inbox = await harness.connect(), Inbox()
    consumer = await actor.consume(OWN, 1, inbox)
    await actor.publish([Outgoing(OWN, INPUT)])
    delivery = await inbox.take()
    consumer.set_credit(0)
    await CASES[row](Scene(harness, actor, watcher, inbox, delivery), ROWS[row])
