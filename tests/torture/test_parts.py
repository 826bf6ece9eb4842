"""The parts of the failure matrix: what they count, what they see on the wire, and that no situation is left out."""

from __future__ import annotations

import asyncio
import json
import re
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import pubsub
from tests.support.pubsub import EmulatorUnavailableError
from tests.torture import aws_proxy, google_proxy
from tests.torture.__main__ import KEPT, KEPT_FIELDS
from tests.torture.account import Found, check_broker, found, settle_up
from tests.torture.aws_proxy import AwsProxy
from tests.torture.control import Control
from tests.torture.gone import GONE
from tests.torture.kills import WIRE
from tests.torture.lane import Lane
from tests.torture.matrix import ROWS
from tests.torture.model import (
    AIO_PIKA,
    CLOUDS,
    FAST,
    PUBSUB,
    PULL,
    RABBITMQ,
    SQLITE,
    STREAM,
    TRANSPORTS,
    Ends,
    Message,
    Result,
    Row,
    UnavailableError,
    engines,
    places,
)
from tests.torture.proxy import Frames, Proxy
from tests.torture.runner import Job, Size, cannot_be_had, choose, run
from tests.torture.scene import Scene
from tests.torture.trouble import KINDS, SKEWED, THROTTLED, Trouble

from asya.transports import Depth
from asya.wire import content_id

TABLE = Path(__file__).parents[1] / "truth-table.yaml"
IDS = {
    row["id"]
    for group in yaml.safe_load(TABLE.read_text()).values()
    if isinstance(group, list)
    for row in group
    if isinstance(row, dict)
}


# -- the matrix


def test_every_situation_is_met_by_a_failure() -> None:
    met = {each for row in ROWS for each in row.ids}
    assert met == IDS


def test_rows_have_names_of_their_own() -> None:
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []


def test_ci_runs_every_row_by_the_first_engine_and_a_few_by_the_second() -> None:
    jobs = choose(ROWS, TRANSPORTS, everything=False)
    where = Counter((job.transport, job.engine) for job in jobs)
    assert where[SQLITE, None] == sum(SQLITE in row.transports for row in ROWS)
    assert where[RABBITMQ, FAST] == sum(RABBITMQ in row.transports for row in ROWS)
    assert where[RABBITMQ, AIO_PIKA] == 6
    assert where[PUBSUB, STREAM] == 4
    everywhere = [(row.name, *place) for row in ROWS for place in places() if not row.why_not(*place)]
    assert len(choose(ROWS, TRANSPORTS, everything=True)) == len(everywhere)


def test_an_engine_that_is_asked_for_is_the_only_one() -> None:
    jobs = choose(ROWS, [PUBSUB], [STREAM], everything=True)
    assert {(job.transport, job.engine) for job in jobs} == {(PUBSUB, STREAM)}
    assert "two-sidecars" not in {job.row.name for job in jobs}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_ci_leaves_out_on_a_cloud_another_row_stands_for(cloud: str) -> None:
    """Every situation, and every step on the wire, is met in CI too; a poison message on Pub/Sub takes a minute."""
    first, *_ = engines(cloud)
    rows = [job.row for job in choose(ROWS, [cloud], [first] if first else None, everything=False)]
    assert {each for row in rows for each in row.ids} == IDS - ({"delivery-limit"} if cloud == PUBSUB else set())
    assert {f"kill-{victim}-{step}" for victim in ("sidecar", "broker") for step in WIRE} <= {row.name for row in rows}


def test_a_row_runs_on_a_transport_or_says_why_not() -> None:
    runs = {(job.row.name, job.transport, job.engine) for job in choose(ROWS, TRANSPORTS, everything=True)}
    absent = {(each.row, each.transport, each.engine) for each in cannot_be_had(ROWS) if each.absent}
    assert runs & absent == set()
    assert runs | absent == {(row.name, *place) for row in ROWS for place in places()}


def test_kept_results_are_of_these_rows() -> None:
    rows = {row.name: row for row in ROWS}
    kept = json.loads(KEPT.read_text())
    assert {name for each in kept for name in each} == set(KEPT_FIELDS)
    for each in kept:
        row = rows[each["row"]]
        assert (each["what"], each["row_ids"]) == (row.what, list(row.ids))
        assert each["absent"] == row.why_not(each["transport"], each["engine"])
    assert {(each["row"], each["transport"], each["engine"]) for each in kept} == {
        (name, *place) for name in rows for place in places()
    }


# -- the accounts


def judged(*copies: Found, ends: Ends | None = None) -> Result:
    result = Result("row", "what", SQLITE, None)
    messages = [Message("a"), Message("b", place="x-sump", phase="failed", reason="TooLarge")]
    settle_up(result, messages, copies, ends or Ends())
    return result


A, B = Found("a", "x-sink", "succeeded"), Found("b", "x-sump", "failed", "TooLarge")


def test_accounts_that_are_right() -> None:
    result = judged(A, B)
    assert (result.sent, result.delivered, result.lost, result.duplicated, result.problems) == (2, 2, 0, 0, [])


@pytest.mark.parametrize(
    ("copies", "problem"),
    [
        ((A,), "lost: ['b']"),
        ((A, A, B), "1 duplicates, at most 0"),
        ((A, B, Found("c", "x-sink", "succeeded")), "nobody sent"),
        ((A, Found("b", "x-sink", "failed", "TooLarge")), "b is at x-sink as failed"),
        ((A, Found("b", "x-sump", "failed", "ParseError")), "b is at x-sump as failed, ParseError"),
        ((Found("a", "dlq:first"), B), "a is at dlq:first"),
        ((A, Found("a", "dlq:first"), B), "at more than one place"),
    ],
)
def test_accounts_that_are_wrong(copies: tuple[Found, ...], problem: str) -> None:
    assert any(each.startswith(problem) for each in judged(*copies).problems)


def test_duplicates_are_counted_within_their_bound() -> None:
    result = judged(A, A, A, B, ends=Ends(duplicates=2))
    assert (result.duplicated, result.problems) == (2, [])


def test_what_came_too_late_counts_where_a_bound_is_passed() -> None:
    result = Result("row", "what", SQLITE, None)
    messages = [Message("a"), Message("b", place="x-sump", phase="failed", reason="TooLarge")]
    settle_up(result, messages, [A, A, A, B], Ends(duplicates=1), in_doubt=1)
    assert (result.duplicated, result.bound, result.call_bound, result.problems) == (2, 2, 2, [])
    assert "1 more" in result.note
    settle_up(result, messages, [A, A, B], Ends(duplicates=1), in_doubt=1)
    assert (result.duplicated, result.bound, result.note) == (1, 1, "")
    settle_up(result, messages, [A, A, A, B], Ends(), in_doubt=1)
    assert result.problems == ["2 duplicates, at most 1 were allowed"]


@pytest.mark.parametrize("depth", [Depth(1, 0, 0, 0), Depth(0, 1, 0, 0), Depth(0, 0, 1, 0), Depth(0, 0, None, 0)])
def test_a_queue_that_keeps_something_is_a_problem(depth: Depth) -> None:
    result = Result("row", "what", SQLITE, None)
    check_broker(result, {"first": depth}, {})
    assert result.problems[0].startswith("the queue of first is not empty")


def test_dead_letters_that_nobody_expects_are_a_problem() -> None:
    result = Result("row", "what", SQLITE, None)
    check_broker(result, {"first": Depth(0, 0, 0, 2)}, {"first": 1})
    assert result.problems == ["2 dead letters of first, expected 1"]


def test_bytes_that_are_no_envelope_are_known_by_their_content() -> None:
    assert found("dlq:first", b"\xff") == Found(content_id(b"\xff"), "dlq:first")


# -- steps


@pytest.fixture
async def control(tmp_path: Path) -> Any:
    made = Control(tmp_path / "stops", every=2)
    await made.open()
    yield made
    await made.close()


async def test_a_step_is_acted_on_as_often_as_planned(control: Control) -> None:
    acted = []

    async def act() -> None:
        acted.append(True)

    control.plan("before-ack", "first", act, 2, cuts=True)
    assert [await control.passes("first", "before-ack") for _ in range(8)] == [False, True, False, True] + [False] * 4
    assert not await control.passes("second", "before-ack")
    assert (len(acted), control.done, control.outstanding) == (2, 2, [])


async def test_whoever_stops_waits_for_what_happens(control: Control) -> None:
    gone_on = asyncio.Event()

    async def act() -> None:
        await asyncio.sleep(0)
        assert not gone_on.is_set()

    control.plan("during-call", "first", act, 1)
    reader, writer = await asyncio.open_unix_connection(control.path)
    writer.write(b"first during-call 1\n")
    assert await reader.read(1) == b"\n"
    gone_on.set()
    writer.close()
    assert (control.done, control.failure) == (1, None)


async def test_what_goes_wrong_at_a_step_is_not_swallowed(control: Control) -> None:
    async def act() -> None:
        raise ProcessLookupError

    control.plan("during-call", "first", act, 1)
    await control.reached("first", "during-call")
    assert isinstance(control.failure, ProcessLookupError)


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHL", kind, channel, len(payload)) + payload + b"\xce"


PUBLISH = frame(1, 1, struct.pack(">HH", 60, 40) + b"\0\0\0\0\0")
CONTENT = [frame(2, 1, struct.pack(">HHQH", 60, 0, 6, 0)), frame(3, 1, b"abc"), frame(3, 1, b"def")]
EMPTY = frame(2, 1, struct.pack(">HHQH", 60, 0, 0, 0))
ACK = frame(1, 1, struct.pack(">HHQB", 60, 80, 1, 0))
HEARTBEAT = frame(8, 0, b"")


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_frames_are_cut_wherever_the_bytes_were_split(size: int) -> None:
    sent = [b"AMQP\0\0\x09\x01", PUBLISH, *CONTENT, HEARTBEAT, ACK]
    frames, data, cut = Frames(), b"".join(sent), []
    for start in range(0, len(data), size):
        cut += frames.feed(data[start : start + size])
    assert cut == sent
    steps = [frames.step(each, from_client=True) for each in cut]
    assert steps == [None, None, None, None, "after-publish", None, "before-ack"]


def test_a_message_without_a_body_is_published_with_its_header() -> None:
    frames = Frames()
    assert [frames.step(each, from_client=True) for each in (PUBLISH, EMPTY)] == [None, "after-publish"]


def test_what_the_broker_acknowledges_is_a_confirmation_and_its_contents_are_no_publishing() -> None:
    frames = Frames()
    assert [frames.step(each, from_client=False) for each in (*CONTENT, ACK)] == [None, None, None, "before-confirm"]


@pytest.mark.parametrize("cuts", [True, False])
async def test_the_proxy_holds_a_frame_at_its_step_and_lets_it_by_or_not(*, cuts: bool) -> None:
    arrived = bytearray()
    ended = asyncio.Event()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            arrived.extend(data)
        ended.set()
        writer.close()

    seen = []

    async def watch(step: str) -> bool:
        seen.append((step, bytes(arrived)))
        return cuts

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1], watch)
    await proxy.open()
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(HEARTBEAT + ACK)
    await writer.drain()
    if not cuts:
        writer.write_eof()
    async with asyncio.timeout(10):
        await ended.wait()
    await proxy.close()
    writer.close()
    server.close()
    assert [step for step, _ in seen] == ["before-ack"]
    assert ACK not in seen[0][1]
    assert bytes(arrived).endswith(ACK) is not cuts


def http(operation: str, body: bytes = b"{}") -> bytes:
    head = f"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.{operation}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class FakeAws:
    """Answers each call with its number, keeping connections or not as told."""

    def __init__(self, *, closes: bool) -> None:
        self.calls: list[bytes] = []
        self._closes = closes

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.calls.append(await reader.readuntil(b"{}"))
                body = b"%d" % len(self.calls)
                ends = b"Connection: close\r\n" if self._closes else b""
                writer.write(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (ends, len(body), body))
                if self._closes:
                    break
        writer.close()


@pytest.fixture(params=[True, False], ids=["closing", "keeping"])
async def aws(request: pytest.FixtureRequest) -> Any:
    """A proxy before a server, both sides of it, and the steps that were seen."""
    fake, seen, cut = FakeAws(closes=request.param), [], set[str]()

    async def watch(step: str) -> bool:
        seen.append((step, len(fake.calls)))
        return step in cut

    server = await asyncio.start_server(fake, "127.0.0.1", 0)
    proxy = AwsProxy(server.sockets[0].getsockname()[1], watch)
    await proxy.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

    async def call(operation: str) -> bytes:
        writer.write(http(operation))
        return await _answer(reader)

    yield proxy, call, seen, cut, fake
    writer.close()
    await proxy.close()
    server.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        (size,) = re.findall(rb"Content-Length: (\d+)", head)
        return head.split(b" ")[1] + b" " + await reader.readexactly(int(size))


async def test_calls_to_sqs_are_steps_before_they_arrive_and_before_they_are_answered(aws: Any) -> None:
    _, call, seen, _, _ = aws
    answers = [await call(each) for each in ("ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch")]
    assert answers == [b"200 1", b"200 2", b"200 3"]
    assert seen == [("after-publish", 1), ("before-confirm", 2), ("before-ack", 2)]


async def test_a_call_that_is_cut_at_its_step_does_not_arrive(aws: Any) -> None:
    _, call, _, cut, fake = aws
    cut.add("before-ack")
    with pytest.raises(asyncio.IncompleteReadError):
        await call("DeleteMessageBatch")
    assert fake.calls == []


async def test_troubles_are_met_as_often_as_planned(aws: Any) -> None:
    proxy, call, _, _, fake = aws
    proxy.trouble = trouble = Trouble(THROTTLED, only=("SendMessageBatch",), passing=3, left=3)
    answers = [await call("SendMessageBatch") for _ in range(5)] + [await call("ReceiveMessage")]
    assert [each[:3] for each in answers] == [b"403", b"403", b"200", b"403", b"200", b"200"]
    assert b"RequestThrottled" in answers[0]
    assert (trouble.met, len(fake.calls)) == (3, 3)


async def test_a_line_turns_away_and_lets_in_again(aws: Any) -> None:
    proxy, call, _, _, _ = aws
    assert (await call("ReceiveMessage"))[:3] == b"200"
    proxy.turn_away()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await call("ReceiveMessage")
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    assert proxy.turned_away == 1
    proxy.let_in()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(http("ReceiveMessage"))
    assert (await _answer(reader))[:3] == b"200"
    writer.close()


async def test_what_is_under_way_has_not_happened_yet(tmp_path: Path) -> None:
    control = Control(tmp_path / "stops", 1)
    seen = []

    async def act() -> None:
        seen.append(control.outstanding)

    control.plan("before-call", "first", act, 1)
    await control.reached("first", "before-call")
    assert (seen, control.outstanding) == ([["before-call of first under way"]], [])


def test_every_cloud_says_every_trouble_that_its_rows_make() -> None:
    assert set(aws_proxy.ANSWERS) == set(KINDS)
    assert set(google_proxy.ANSWERS) == set(KINDS) - {SKEWED}


# -- rows, for real and small

SMALL = Size(100, 60.0, 50)


async def lose_one(scene: Scene) -> Ends:
    """What the matrix is there to find: a message that is nowhere."""
    await scene.prepare()
    for _ in range(scene.total):
        scene.add()
    scene.messages.append(Message("never sent", sent=False))
    scene.seconds = 3
    await scene.flow()
    return Ends()


def job(name: str) -> Job:
    (row,) = [row for row in ROWS if row.name == name]
    return Job(row, SQLITE, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kill-sidecar-before-confirm", "kill-runtime-during-call", "every-kind", "sigterm"])
async def test_a_row_holds(name: str) -> None:
    async with Lane() as lane:
        result = await run(job(name), lane, SMALL)
    assert result.problems == []
    assert (result.sent, result.delivered, result.lost) == (100, 100, 0)
    assert result.failures > 0


@pytest.mark.slow
@pytest.mark.usefixtures("rabbitmq_installed")
async def test_a_row_holds_on_rabbitmq() -> None:
    async with Lane() as lane:
        result = await run(replace(job("kill-broker-before-confirm"), transport=RABBITMQ, engine=FAST), lane, SMALL)
    assert result.problems == []
    assert (result.delivered, result.failures) == (100, 1)


@pytest.mark.slow
@pytest.mark.parametrize("cloud", CLOUDS)
async def test_a_row_holds_on_a_cloud(cloud: str) -> None:
    async with Lane() as lane:
        (chosen,) = choose([job("kill-broker-before-confirm").row], [cloud], engines(cloud)[:1], everything=True)
        result = await run(chosen, lane, SMALL)
    if result.skipped:
        pytest.skip(result.note)
    assert result.problems == []
    assert (result.delivered, result.failures) == (50, 1)
    assert result.note == GONE[cloud]


async def test_a_row_may_be_slow_while_messages_move() -> None:
    looks = 0
    async with Lane() as lane:
        scene = Scene(lane, SQLITE, None, 1, 0.01)

        def moves() -> bool:
            nonlocal looks
            looks += 1
            scene.record.write_text("x" * looks)
            return looks == 5

        await scene._until(moves, "five calls", every=0.02)
    assert looks == 5


@pytest.mark.slow
async def test_a_row_that_loses_a_message_fails() -> None:
    story: Callable[[Scene], Any] = lose_one
    async with Lane() as lane:
        result = await run(Job(Row("loss", "a loss", story, ()), SQLITE, None), lane, Size(20, 60.0, 20))
    assert not result.ok
    assert "nothing has moved for 3 s" in result.problems[0]
    assert (result.sent, result.delivered, result.lost) == (20, 20, 1)


async def impossible(scene: Scene) -> Ends:
    raise UnavailableError("no network can be made here")


@pytest.mark.parametrize("in_ci", [True, False])
async def test_a_failure_that_cannot_be_made_says_so_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, *, in_ci: bool
) -> None:
    monkeypatch.setenv("CI", "true" if in_ci else "")
    async with Lane() as lane:
        result = await run(Job(Row("never", "a failure", impossible, ()), SQLITE, None), lane, SMALL)
    assert (result.ok, result.skipped, bool(result.problems)) == (False, not in_ci, in_ci)
    assert result.note == "no network can be made here"


async def test_an_emulator_that_is_not_installed_is_no_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    def find() -> Path:
        raise EmulatorUnavailableError("there is no emulator here")

    monkeypatch.setattr(pubsub, "find", find)
    monkeypatch.setenv("CI", "true")
    async with Lane() as lane:
        result = await run(replace(job("two-sidecars"), transport=PUBSUB, engine=PULL), lane, SMALL)
    assert (result.ok, result.skipped, result.problems) == (False, True, [])
    assert result.note == "there is no emulator here"
