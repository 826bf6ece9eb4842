"""Publishing many: within a window, confirmed ones told in their order, whatever happens in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from asya.cli.cluster import sending
from asya.cli.cluster.actors import read
from asya.cli.cluster.errors import ClusterError
from asya.errors import AsyaError, RefusedError, TransportError
from asya.transports.base import Link, Outgoing
from asya.wire import Envelope, decode, new_envelope, raw

Futures = list[asyncio.Future[None]]


class FakeTransport:
    """Takes messages and confirms none by itself; `on_take` sees each new one."""

    def __init__(self, on_take: Any) -> None:
        self.link, self.taken, self._on_take = Link(), Futures(), on_take
        self.ids: list[str] = []

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        (message,) = messages
        assert message.actor == "a"
        self.ids.append(decode(message.body).id)
        self.taken.append(asyncio.get_running_loop().create_future())
        self._on_take(self.taken)
        return self.taken[-1]


def envelopes(count: int) -> list[Envelope]:
    return [new_envelope(["a"], raw(n), now=time.time(), envelope_id=f"m{n}") for n in range(count)]


async def publish(transport: FakeTransport, count: int) -> tuple[list[str], AsyaError | None]:
    told: list[str] = []
    try:
        await sending._publish(transport, "a", envelopes(count), told.append)  # type: ignore[arg-type]  a double
    except AsyaError as error:
        return told, error
    return told, None


def ids(*numbers: int) -> list[str]:
    return [f"m{n}" for n in numbers]


async def test_no_more_than_the_window_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "IN_FLIGHT", 3)
    open_at_once: list[int] = []

    def take(taken: Futures) -> None:
        still = [each for each in taken if not each.done()]
        open_at_once.append(len(still))
        if len(still) == 3:
            # The newest first, so that order is ours to keep.
            asyncio.get_running_loop().call_soon(still[-1].set_result, None)
        if len(taken) == 10:
            asyncio.get_running_loop().call_later(0, lambda: [f.set_result(None) for f in taken if not f.done()])

    told, error = await publish(FakeTransport(take), 10)
    assert (told, error, max(open_at_once)) == (ids(*range(10)), None, 3)


async def test_after_a_refusal_no_more_is_sent_and_what_is_confirmed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "IN_FLIGHT", 4)

    def take(taken: Futures) -> None:
        if len(taken) == 4:
            taken[1].set_exception(RefusedError("the queue is full"))
            for number in (0, 2, 3):
                asyncio.get_running_loop().call_soon(taken[number].set_result, None)

    transport = FakeTransport(take)
    told, error = await publish(transport, 9)
    assert (told, transport.ids) == (ids(0, 2, 3), ids(0, 1, 2, 3))
    assert str(error) == "3 of 9 messages are confirmed, the others may be in the queue: the queue is full"


async def test_a_broker_that_confirms_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "CONFIRM_SECONDS", 0.05)
    transport = FakeTransport(lambda _: None)
    transport.link.set(False, "the broker takes no messages: low on disk")
    told, error = await publish(transport, 1)
    assert (told, str(error), type(error)) == ([], "the broker takes no messages: low on disk", TransportError)


def test_a_transport_whose_library_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> object:
        raise ModuleNotFoundError("no", name="pamqp")

    monkeypatch.setattr(sending, "opened", opened)
    actor = read({"metadata": {"name": "a"}, "spec": {"transport": "rabbitmq"}})
    cluster: Any = None
    with pytest.raises(ClusterError, match=r"rabbitmq needs the package pamqp: pip install 'asya\[rabbitmq\]'"):
        sending.publish(cluster, actor, envelopes(1), print)
