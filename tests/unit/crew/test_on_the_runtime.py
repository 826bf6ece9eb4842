"""The crew as it runs: an ordinary handler behind a real sidecar and a real runtime, on the embedded queue."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import mesh
from tests.support.mesh import Mesh
from tests.support.processes import until

from asya.settings import load
from asya.transports.base import Delivery, Outgoing, QueueSpec, Transport
from asya.transports.registry import open_transport
from asya.transports.settings import TransportSettings
from asya.wire import Envelope, Route, Status, decode, encode, raw

QUEUES = ("audit", "x-sink", "x-sump")
WITHIN = 30.0


@pytest.fixture
async def transport(tmp_path: Path) -> AsyncIterator[Transport]:
    opened = open_transport(load(TransportSettings, mesh.sqlite(tmp_path / "queue.db")))
    await opened.open()
    await opened.declare([QueueSpec(queue) for queue in QUEUES])
    yield opened
    await opened.close()


def ended(actor: str, phase: str) -> Envelope:
    """A message as the last sidecar of a route sends it."""
    return Envelope(
        id="0f8fad5b/../e",
        route=Route(prev=["embed"], curr=actor),
        headers={"x-asya-hop": raw(1), "traceparent": raw("00-a-b-01")},
        payload=raw({"text": "grüße"}),
        status=Status(phase=phase, reason="Completed", updated_at="2031-02-03T04:05:06.789Z"),  # type: ignore[arg-type]
    )


async def settled(transport: Transport) -> bool:
    """Tell whether no queue but audit's holds anything, dead letters included."""
    depths = await transport.depth(QUEUES)
    return not any(depth.backlog or depth.delayed or depth.dead for name, depth in depths.items() if name != "audit")


async def test_sink_keeps_the_message_sends_it_past_its_hook_and_ends_its_way(
    transport: Transport, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    arrived: list[Envelope] = []

    def on_delivery(delivery: Delivery) -> None:
        arrived.append(decode(delivery.body))
        transport.complete(delivery)

    async with Mesh(tmp_path / "logs", mesh.sqlite(tmp_path / "queue.db")) as running:
        settings = {"ASYA_CHECKPOINT_URL": kept.as_uri(), "ASYA_SINK_HOOKS": "audit"}
        await running.pod("x-sink", "asya.crew.sink.handle", runtime=settings).start()
        await transport.publish([Outgoing("x-sink", encode(ended("x-sink", "failed")))])
        consumer = await transport.consume("audit", 1, on_delivery)
        await until(lambda: bool(arrived), within=WITHIN, what=running.tails)
        (document,) = kept.rglob("*.json")
        assert document.relative_to(kept).as_posix() == "failed/2031-02-03/0f8fad5b%2F..%2Fe.json"
        message = json.loads(document.read_text(encoding="utf-8"))
        assert message["payload"] == {"text": "grüße"}
        assert message["route"] == {"prev": ["embed"], "curr": "x-sink", "next": []}
        assert message["status"]["phase"] == "failed"
        document.unlink()

        hooked = arrived[0]
        assert (hooked.route.prev, hooked.route.curr, hooked.route.next) == (["embed", "x-sink"], "audit", ["x-sink"])
        assert bytes(hooked.headers["traceparent"]) == b'"00-a-b-01"'
        hooked.route = Route(prev=[*hooked.route.prev, "audit"], curr="x-sink")
        await transport.publish([Outgoing("x-sink", encode(hooked))])
        await until(lambda: settled(transport), within=WITHIN, what=running.tails)
        assert list(kept.rglob("*.json")) == []
        await consumer.close()


async def test_sump_says_and_keeps_the_message_and_nothing_is_left(transport: Transport, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    async with Mesh(tmp_path / "logs", mesh.sqlite(tmp_path / "queue.db")) as running:
        pod = running.pod("x-sump", "asya.crew.sump.handle", runtime={"ASYA_CHECKPOINT_URL": kept.as_uri()})
        await pod.start()
        await transport.publish([Outgoing("x-sump", encode(ended("x-sump", "failed")))])
        await until(lambda: any(kept.rglob("*.json")) if kept.exists() else False, within=WITHIN, what=running.tails)
        await until(lambda: settled(transport), within=WITHIN, what=running.tails)
        said = [line for line in running.tails().splitlines() if "message-in-sump" in line]
    assert len(said) == 1
    assert json.loads(said[0])["envelope"]["id"] == "0f8fad5b/../e"
    (document,) = kept.rglob("*.json")
    assert document.relative_to(kept).parts[0] == "sump"
