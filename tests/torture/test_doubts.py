"""What the matrix counts as in doubt: sends without an answer, leases that ran out, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from tests.torture.pod import doubts

from asya.errors import ConnectionLostError, LeaseLostError
from asya.transports import Delivery, Outgoing, QueueSpec
from asya.transports.memory import MemoryTransport
from asya.transports.naming import QueueNames
from asya.transports.pubsub import leases
from asya.transports.sqs.exchange import _Connection

SEND = b'{"Entries":[{"Id":"0","MessageBody":"{\\"Id\\":1}"},{"Id":"1","MessageBody":"x"}]}'


def counted(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


async def test_a_delivery_that_is_not_ours_any_more_is_in_doubt(tmp_path: Path) -> None:
    transport = MemoryTransport(QueueNames("test"))
    await transport.open()
    await transport.declare([QueueSpec("a"), QueueSpec("b")])
    doubts.watch(transport, tmp_path / "doubts")
    came: asyncio.Queue[Delivery] = asyncio.Queue()
    await transport.consume("a", 1, came.put_nowait)
    await transport.publish([Outgoing("a", b"1")])
    async with asyncio.timeout(10):
        delivery = await came.get()
        await transport.complete(delivery, [Outgoing("b", b"1")])
    assert counted(tmp_path / "doubts") == []
    with pytest.raises(LeaseLostError):
        await transport.complete(delivery, [Outgoing("b", b"1"), Outgoing("b", b"2")])
    transport.drop_connection()
    with pytest.raises(ConnectionLostError):
        await transport.publish([Outgoing("a", b"1")] * 3)
    await asyncio.sleep(0)  # what failed at once is heard of at the loop's next turn
    assert counted(tmp_path / "doubts") == [2, 3]
    await transport.close()


@pytest.mark.parametrize(("operation", "doubtful"), [("SendMessageBatch", [2]), ("ReceiveMessage", [])])
async def test_a_send_to_sqs_without_an_answer_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch, operation: str, doubtful: list[int]
) -> None:
    async def unanswered(*_: Any) -> None:
        raise TimeoutError

    def unsent(*_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="http://localhost")

    monkeypatch.setattr(_Connection, "ask", unanswered)
    monkeypatch.setattr(URLLib3Session, "send", unsent)
    found: list[int] = []
    doubts._watch_requests(found.append)
    request = b"POST / HTTP/1.1\r\nx-amz-target: AmazonSQS.%b\r\n\r\n%b" % (operation.encode(), SEND)
    with pytest.raises(TimeoutError):
        await _Connection().ask(request)
    assert found == doubtful
    prepared = SimpleNamespace(headers={"X-Amz-Target": f"AmazonSQS.{operation}"}, body=SEND)
    with pytest.raises(ReadTimeoutError):
        URLLib3Session().send(prepared)
    assert found == doubtful * 2


def test_a_send_to_sqs_that_finds_nobody_is_not_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="http://localhost")

    monkeypatch.setattr(_Connection, "ask", _Connection.ask)
    monkeypatch.setattr(URLLib3Session, "send", unreachable)
    found: list[int] = []
    doubts._watch_requests(found.append)
    prepared = SimpleNamespace(headers={"X-Amz-Target": "AmazonSQS.SendMessageBatch"}, body=SEND)
    with pytest.raises(EndpointConnectionError):
        URLLib3Session().send(prepared)
    assert found == []


def test_an_acknowledgement_that_nobody_waits_for_is_in_doubt_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_nobody_waits", leases._nobody_waits)
    found: list[int] = []
    doubts._watch_acknowledgements(found.append)
    leases._nobody_waits(None)
    assert found == []
    leases._nobody_waits(ConnectionLostError("gone"))
    assert found == [1]
