"""Reports: batched and bounded while a message runs, acknowledged at its end, and only to whom they may go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from tests.unit.sidecar.fake_gateway import FakeGateway

from asya.wire import Envelope, Raw, headers, new_envelope, raw
from asya_sidecar import report as report_module
from asya_sidecar.events import Report
from asya_sidecar.report import BATCH, HttpReceiver, HttpReporter


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as made:
        yield made


@pytest_asyncio.fixture
async def receiver(gateway: FakeGateway) -> AsyncIterator[HttpReceiver]:
    made = HttpReceiver(gateway.url, "secret", known=True)
    yield made
    await made.close()


def some(number: int = 1, **more: Any) -> Report:
    return Report(id=f"task-{number}", type="status", status="processing", at="2026-01-01T00:00:00.000Z", **more)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_progress_is_batched_in_order_with_the_token(gateway: FakeGateway, receiver: HttpReceiver) -> None:
    for number in range(BATCH + 50):
        receiver.progress(some(number))
    await until(lambda: sum(len(body["events"]) for _, _, body, _ in gateway.requests) == BATCH + 50)
    seen = [event["id"] for _, _, body, _ in gateway.requests for event in body["events"]]
    assert seen == [f"task-{number}" for number in range(BATCH + 50)]
    assert {path for _, path, _, _ in gateway.requests} == {"/api/v1/mesh/events"}
    assert gateway.requests[0][3]["Authorization"] == "Bearer secret"
    assert len(gateway.requests) <= 3


async def test_progress_survives_a_receiver_that_stumbles(gateway: FakeGateway, receiver: HttpReceiver) -> None:
    gateway.statuses = [500, 503]
    receiver.progress(some())
    await until(lambda: len(gateway.requests) == 3)
    assert [len(body["events"]) for _, _, body, _ in gateway.requests] == [1, 1, 1]


async def test_the_buffer_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "BUFFER", 10)
    receiver = HttpReceiver("http://127.0.0.1:9", None, known=True)
    for number in range(25):
        receiver.progress(some(number))
    assert receiver.dropped == 15
    assert receiver._events[0].id == "task-15"
    await receiver.close()


async def test_a_final_report_is_repeated_until_it_is_acknowledged(
    gateway: FakeGateway, receiver: HttpReceiver
) -> None:
    gateway.statuses = [500, 429, 204]
    assert await receiver.final(some())
    assert [path for _, path, _, _ in gateway.requests] == ["/api/v1/mesh/task-1/events"] * 3


async def test_a_final_report_for_an_unknown_task_is_acknowledged(gateway: FakeGateway, receiver: HttpReceiver) -> None:
    gateway.statuses = [404]
    assert await receiver.final(some())


async def test_a_report_that_is_wrong_in_itself_is_given_up(gateway: FakeGateway, receiver: HttpReceiver) -> None:
    gateway.statuses = [413]
    assert not await receiver.final(some())
    assert len(gateway.requests) == 1


async def test_a_stranger_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "STRANGER_PATIENCE_SECONDS", 0.3)
    receiver = HttpReceiver("http://127.0.0.1:9", None, known=False)
    assert not await receiver.final(some())


async def test_ids_cannot_leave_their_place_in_the_path(gateway: FakeGateway, receiver: HttpReceiver) -> None:
    await receiver.final(Report(id="../../x y?z", type="status", at=""))
    assert gateway.requests[0][1] == "/api/v1/mesh/..%2F..%2Fx%20y%3Fz/events"


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (200, {"status": "canceled"}, "canceled"),
        (200, {"status": "paused"}, "paused"),
        (200, {"status": "running"}, None),
        (200, [], None),
        (404, None, None),
        (500, None, None),
    ],
)
async def test_preflight(gateway: FakeGateway, receiver: HttpReceiver, status: int, answer: Any, said: Any) -> None:
    gateway.statuses = [status]
    gateway.bodies["/api/v1/mesh/t"] = answer
    assert await receiver.preflight("t") == said


async def test_preflight_without_an_answer_has_no_objection() -> None:
    assert await HttpReceiver("http://127.0.0.1:9", None, known=True).preflight("t") is None


async def test_a_cancel_reaches_a_running_call(gateway: FakeGateway, receiver: HttpReceiver) -> None:
    gateway.bodies["/api/v1/mesh/events"] = {"canceled": ["t", "somebody else's"]}
    stopped = asyncio.Event()
    receiver.started("t", stopped.set)
    async with asyncio.timeout(5):
        await stopped.wait()
    assert gateway.requests[0][2] == {"events": [], "running": ["t"]}


async def test_a_kept_connection_that_was_closed_is_made_again(gateway: FakeGateway, receiver: HttpReceiver) -> None:
    gateway.close_after_answer = True
    for _ in range(3):
        assert await receiver.final(some())
    assert len(gateway.requests) == 3


async def test_flush_sends_what_is_buffered(gateway: FakeGateway) -> None:
    receiver = HttpReceiver(gateway.url, None, known=True)
    receiver._events.extend(some(number) for number in range(3))
    await receiver.flush(5.0)
    assert [len(body["events"]) for _, _, body, _ in gateway.requests] == [3]
    await receiver.close()


def envelope(**own: Any) -> Envelope:
    return new_envelope(["a"], raw(1), now=0.0, headers={name: raw(value) for name, value in own.items()})


def test_an_envelopes_own_address_must_be_allowed() -> None:
    reporter = HttpReporter("http://gateway:8080", "secret", ("reports.example",))
    default = reporter.receiver(envelope())
    for allowed in ("https://reports.example/x", "http://gateway:9999", "http://reports.example"):
        other = reporter.receiver(envelope(**{headers.GATEWAY_URL: allowed}))
        assert isinstance(other, HttpReceiver)
        assert other.url == allowed
        assert other._client._token is None, "the token is for the configured address only"
    for refused in ("ftp://reports.example", "http://evil.example", "http://", "//reports.example", 5, "http://[x", ""):
        assert reporter.receiver(envelope(**{headers.GATEWAY_URL: refused})) is default


def test_stealth_means_no_reports_at_all() -> None:
    reporter = HttpReporter("http://gateway", None, ("*",))
    assert reporter.receiver(envelope(**{headers.MESH_STATUS: "off"})) is None
    assert reporter.receiver(envelope(**{headers.MESH_STATUS: "off", headers.GATEWAY_URL: "http://x"})) is None
    assert reporter.receiver(envelope(**{headers.MESH_STATUS: "on"})) is not None


def test_addresses_from_outside_are_bounded() -> None:
    reporter = HttpReporter(None, None, ("*",))
    used = [reporter.receiver(envelope(**{headers.GATEWAY_URL: f"http://h{number}"})) for number in range(200)]
    assert 0 < len([each for each in used if each is not None]) < 200


async def test_events_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "BUFFER_BYTES", 10_000)
    monkeypatch.setattr(report_module, "FLY_BYTES", 4_000)
    receiver = HttpReceiver("http://127.0.0.1:9", None, known=True)
    receiver.progress(Report(id="t", type="fly", at="", data=Raw(b'"' + b"x" * 5_000 + b'"')))
    assert (len(receiver._events), receiver.dropped) == (0, 1)
    for _ in range(10):
        receiver.progress(Report(id="t", type="fly", at="", data=Raw(b'"' + b"x" * 3_000 + b'"')))
    assert (len(receiver._events), receiver._bytes) == (3, 3 * 3_002)
    await receiver.close()


@pytest.mark.parametrize("answer", [None, 5, "x", [], {"canceled": None}, {"canceled": 5}, {"canceled": [1, {}]}])
async def test_an_answer_of_any_shape_is_borne(gateway: FakeGateway, receiver: HttpReceiver, answer: Any) -> None:
    gateway.bodies["/api/v1/mesh/events"] = answer
    gateway.bodies["/api/v1/mesh/t"] = answer
    receiver.started("t", lambda: None)
    receiver.progress(some())
    await until(lambda: len(gateway.requests) >= 2)
    assert receiver._task is not None
    assert not receiver._task.done()
    assert await receiver.preflight("t") is None


@pytest.mark.parametrize("url", ["http://any/☃", "http://a..b/", "http://" + "a" * 64 + ".example", "http://h:x"])
def test_an_address_that_cannot_be_one_is_not_used(url: str) -> None:
    assert HttpReporter(None, None, ("*",)).receiver(envelope(**{headers.GATEWAY_URL: url})) is None
