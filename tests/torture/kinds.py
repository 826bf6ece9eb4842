"""Every kind of message at once, while processes are killed: each has to come to its own end."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any

from tests.torture.model import Ends, Message, Row
from tests.torture.pods import IN_FLIGHT, PATIENCE, SHORT_LEASE
from tests.torture.scene import ACTORS, ENDS, FIRST, SECOND, SINK, SUMP, Scene
from tests.unit.sidecar.fake_gateway import FakeGateway

from asya.wire import Envelope, content_id, decode, encode, headers, new_envelope, raw
from asya.wire import child_id as made_id

CHILDREN = 2
POLICIES = {
    "default": {"maxAttempts": 50, "backoff": "constant", "initialDelay": "100ms", "jitter": False},
    "rescue": {"maxAttempts": 1, "onExhausted": [SECOND]},
}
RULES = [{"errors": ["RescueError"], "policy": "rescue"}]
FAILED: dict[str, Any] = {"phase": "failed"}
# By kind: where it has to be in the end. What a call of the first actor makes of it, unless `_special` makes it.
CALLED: dict[str, dict[str, Any]] = {
    "result": {},
    "nothing": {},
    "handler-error": {},
    "exhausted-route": {},
    "exhausted": FAILED | {"reason": "PolicyExhausted"},
    "unserialisable": FAILED | {"reason": "PolicyExhausted"},
    "invalid-route": FAILED | {"reason": "InvalidRoute"},
    "no-destination": FAILED | {"reason": "UnknownActor", "place": SUMP},
    "retry-too-late": FAILED | {"reason": "Timeout"},
    "fan-out": {},
    "stream-failed": FAILED | {"reason": "PolicyExhausted"},
}
SPECIAL = ("unparsable", "no-id", "wrong-actor", "hop-limit", "deadline-over")
REPORTED = {
    "canceled": {"phase": "canceled", "reason": "PreFlightCanceled"},
    "paused": {"phase": "paused", "reason": "PreFlightPaused"},
    "canceled-in-call": {"phase": "canceled", "reason": "Canceled"},
    "pause-asked": {"place": None},
}
CRASH = "runtime-crashed"
"""One only: it takes all running calls with it, and a runtime that crashes often is started ever later."""
SEVERAL = 3
"""Messages of a kind whose fate is asked about elsewhere; each costs a question."""


async def every_kind(scene: Scene) -> Ends:
    """Two actors; the ends are looked at in the queues."""
    gateway = scene.on(FakeGateway())
    scene.settings |= SHORT_LEASE | {
        "ASYA_RESILIENCY_POLICIES": json.dumps(POLICIES),
        "ASYA_RESILIENCY_RULES": json.dumps(RULES),
        "ASYA_REPORT_HOSTS": "127.0.0.1",
    }
    for kind in REPORTED:
        for _ in range(SEVERAL):
            _reported(scene, kind, gateway)
    scene.add({"kind": CRASH})
    kinds = cycle((*CALLED, *SPECIAL))
    while sum(message.sent for message in scene.messages) < scene.total:
        _one(scene, next(kinds))
    await scene.prepare()
    scene.pod(FIRST, handler="kinds.every")
    scene.pod(SECOND)
    _kill_now_and_then(scene, *ACTORS)
    await scene.flow()
    _check_pauses(scene, gateway)
    # A repeated call emits its results again under the same ids; on SQLite too only result 0 is part of settling.
    return Ends(scene.control.done * IN_FLIGHT * (1 + CHILDREN), None)


async def crew(scene: Scene) -> Ends:
    """x-sink and x-sump run too, and are killed; what they were given counts as arrived."""
    scene.settings |= SHORT_LEASE
    scene.records_ends = True
    kinds: dict[str, dict[str, Any]] = {
        "result": {},
        "sink-hooks-left": {},
        "sink-failed": {"place": SUMP},
        "sump-failed": {"place": f"dlq:{SUMP}"},
    }
    each = cycle(kinds.items())
    for _ in range(scene.total - SEVERAL * 2):
        kind, fate = next(each)
        scene.add({"kind": kind}, **fate)
    for _ in range(SEVERAL):
        _special(scene, "unparsable")
        _special(scene, "hop-limit")
    # What was given to an end is known by the end's own record, which has no status.
    scene.messages = [replace(message, phase=None, reason=None) for message in scene.messages]
    await scene.prepare()
    for actor in (*ACTORS, *ENDS):
        scene.pod(actor, handler="kinds.end" if actor in ENDS else "handlers.handle")
    _kill_now_and_then(scene, SINK, SUMP)
    await scene.flow()
    return Ends(scene.control.done * IN_FLIGHT, None)


def _kill_now_and_then(scene: Scene, *actors: str) -> None:
    for actor in actors:
        (pod,) = scene.pods(actor)
        scene.control.plan("after-result", actor, partial(pod.sidecar.kill, PATIENCE), scene.times // 2, cuts=True)
        scene.control.plan("during-call", actor, partial(pod.runtime.kill, PATIENCE), scene.times // 2)


def _one(scene: Scene, kind: str) -> None:
    if kind in SPECIAL:
        _special(scene, kind)
        return
    deadline = time.time() + 3600 if kind == "retry-too-late" else None
    message = scene.add({"kind": kind}, deadline=deadline, **CALLED[kind])
    if kind in ("fan-out", "stream-failed"):
        ids = [made_id(message.id, FIRST, 0, index) for index in range(1, CHILDREN + 1)]
        scene.messages += [Message(each, sent=False) for each in ids]


def _special(scene: Scene, kind: str) -> None:
    """Make a message that never reaches the function."""
    number = len(scene.messages)
    envelope = new_envelope(list(ACTORS), raw({"n": number}), now=time.time())
    fate: dict[str, Any] = {"place": SUMP, **FAILED, "reason": "ParseError"}
    if kind == "unparsable":
        body = b'{"n": %d, \xff' % number if number % 2 else b'["no object", %d]' % number
        scene.messages.append(Message(content_id(body), body, **fate))
        return
    if kind == "no-id":
        body = encode(envelope).replace(f'"id":"{envelope.id}"'.encode(), b'"id":""')
        scene.messages.append(Message(content_id(body), body, **fate))
        return
    if kind == "wrong-actor":
        envelope.route.curr, fate["reason"] = "somebody-else", "RouteMismatch"
    elif kind == "hop-limit":
        envelope.headers[headers.HOP] = raw(5000)
        fate |= {"place": SINK, "reason": "HopLimit"}
    else:
        envelope = new_envelope(list(ACTORS), raw({"n": number}), now=time.time(), deadline_at=time.time() - 1)
        fate |= {"place": SINK, "reason": "Timeout"}
    scene.messages.append(Message(envelope.id, encode(envelope), **fate))


def _reported(scene: Scene, kind: str, gateway: FakeGateway) -> None:
    """Make a message that somebody watches, who cancels or pauses it."""
    message = scene.add({"kind": kind}, **REPORTED[kind])
    envelope: Envelope = decode(message.body)
    envelope.headers[headers.GATEWAY_URL] = raw(gateway.url)
    scene.messages[-1] = Message(message.id, encode(envelope), **REPORTED[kind])
    if kind in ("canceled", "paused"):
        gateway.bodies[f"/api/v1/mesh/{message.id}"] = {"status": kind}
    if kind == "canceled-in-call":
        running = gateway.bodies.setdefault("/api/v1/mesh/events", {"canceled": []})
        running["canceled"].append(message.id)


def _check_pauses(scene: Scene, gateway: FakeGateway) -> None:
    """What paused itself is in no queue: its receiver must have acknowledged that it knows."""
    known = {
        body["id"]
        for method, path, body, _ in gateway.requests
        if method == "POST" and path != "/api/v1/mesh/events" and body["status"] == "paused"
    }
    asked = {message.id for message in scene.messages if message.place is None}
    if asked - known:
        raise AssertionError(f"paused without a report: {asked - known}")


ROWS = [
    Row(
        "every-kind",
        "every kind of message at once, while sidecars and runtimes are killed",
        every_kind,
        (*CALLED, CRASH, *SPECIAL, *REPORTED, "end-of-route"),
    ),
    Row(
        "crew",
        "`x-sink` and `x-sump` are killed, or fail",
        crew,
        ("terminal-actor", "sink-hooks-left", "sink-done", "sink-failed", "sump-done", "sump-failed"),
    ),
]
