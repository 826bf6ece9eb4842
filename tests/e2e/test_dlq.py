"""`asya dlq` as a user meets it: real processes, real messages, the embedded queue and a broker."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.contract.transports.harness import Inbox, depth_of, until
from tests.support.up import actor, asya, environment, run, up

from asya.transports import Outgoing, QueueNames, QueueSpec, Settle
from asya.transports.rabbitmq import RabbitmqTransport
from asya.transports.settings import RabbitmqSettings

LIMIT = 2048
COUNT = 200
NAMESPACE = "shop"


def test_a_message_too_large_even_for_the_sump_is_found_edited_and_done(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "double", "def handle(payload):\n    return payload * 2\n")
    state = tmp_path / "state"
    own = ("--state", str(state))
    with up(tmp_path / "mesh", state, ASYA_SQLITE_MAX_MESSAGE_BYTES=str(LIMIT)) as mesh:
        task = mesh.send("double", "x" * (LIMIT - 400))
        mesh.until(lambda: mesh.actors()["double"]["depth"]["dead"], "a dead letter")
        listed = json.loads(run("dlq", "list", "-o", "json", *own).stdout)
        found = {each["name"]: each for each in listed["actors"]}
        assert {name: each["reasons"] for name, each in found.items() if each["dead"]} == {"double": {"too-large": 1}}
        done = run("dlq", "redrive", "double", task, "--payload", '"ok"', *own)
        assert (done.returncode, done.stdout) == (0, "1 redriven\n"), done.stderr
        ended = mesh.ended(task)
        assert (ended["status"], ended["result"]) == ("succeeded", "okok")
        assert mesh.actors()["double"]["depth"]["dead"] == 0
    (line,) = (state / "audit.jsonl").read_text().splitlines()
    assert (json.loads(line)["id"], json.loads(line)["edited"]) == (task, True)


@asynccontextmanager
async def broker(url: str) -> AsyncIterator[RabbitmqTransport]:
    transport = RabbitmqTransport(QueueNames(NAMESPACE), RabbitmqSettings(url=url))
    await transport.open()
    try:
        yield transport
    finally:
        await transport.close()


def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)


@pytest.mark.rabbitmq
async def test_killed_while_it_redrives_and_two_at_once_lose_nothing(rabbitmq_url: str) -> None:
    """At least once whatever happens; what is doubled is at most what was on its way when the process was killed."""
    bodies = [b'{"id":"%d","route":{"curr":"a"},"payload":%d}' % (number, number) for number in range(COUNT)]
    command = [asya(), "dlq", "redrive", "a", "--all", "--transport", "rabbitmq", "--namespace", NAMESPACE]
    env = environment(ASYA_RABBITMQ_URL=rabbitmq_url, ASYA_AUDIT_FILE="/dev/null")
    async with broker(rabbitmq_url) as transport:
        await transport.declare([QueueSpec("a")])
        await transport.publish([Outgoing("a", body) for body in bodies])
        buried = Inbox()
        consumer = await transport.consume("a", COUNT, buried)
        dead = [transport.complete(each, settle=Settle.DEAD_LETTER) for each in await buried.take_many(COUNT)]
        await asyncio.gather(*dead)
        await consumer.close()

        with start(command, env) as victim:

            async def has_begun() -> bool:
                return (await depth_of(transport, "a")).ready > 0 or victim.poll() is not None

            await until(has_begun, "the first message is redriven", 30)
            victim.kill()
        both = [start(command, env) for _ in range(2)]
        codes = {await asyncio.to_thread(each.wait, 60) for each in both}
        assert codes <= {0, 3}, "3: the other one had some of them"
        # What one of them looks at is hidden from the other, so some may have been in nobody's selection.
        assert await asyncio.to_thread(start(command, env).wait, 60) == 0
        assert (await depth_of(transport, "a")).dead == 0
        inbox = Inbox()
        await transport.consume("a", 10 * COUNT, inbox)
        await until(lambda: _all(inbox, bodies), "every message comes")
        doubled = Counter(inbox.bodies) - Counter(bodies)
        assert doubled.total() <= 16


async def _all(inbox: Inbox, bodies: list[bytes]) -> bool:
    return set(inbox.bodies) == set(bodies)
