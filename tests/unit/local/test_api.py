"""The loopback API over a real socket, as a client and a sidecar meet it."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from asya.errors import AsyaError, NoDestinationError, TooLargeError, TransportError
from asya.local.api import create_app
from asya.local.server import ApiServer, write_address
from asya.local.writer import TaskStore
from asya.wire import decode, format_time

LIMIT = 20_000


@dataclass
class FakeMesh:
    """Stands for the running mesh: takes what is published."""

    sink: str = "x-sink"
    sump: str = "x-sump"
    published: list[tuple[str, bytes]] = field(default_factory=list)
    refuses: TransportError | None = None
    questions: int = 0

    def actors(self) -> Sequence[Mapping[str, Any]]:
        return [{"name": name} for name in ("resize", "caption", "x-sink", "x-sump")]

    async def is_known(self, actor: str) -> bool:
        return actor in ("resize", "caption")

    def asked(self) -> None:
        self.questions += 1

    async def publish(self, actor: str, body: bytes) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.published.append((actor, body))


@dataclass
class Served:
    client: httpx.AsyncClient
    mesh: FakeMesh
    server: ApiServer
    store: TaskStore

    async def create(self, **body: object) -> str:
        answer = await self.client.post("/api/v1/mesh/?actor=resize", json={"payload": None} | body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def report(
        self, task_id: str, status: str | None, *, kind: str = "status", at: float = 4e9, **data: object
    ) -> int:
        body = {"id": task_id, "type": kind, "at": format_time(at), "data": data} | (
            {"status": status} if status else {}
        )
        return (await self.client.post(f"/api/v1/mesh/{task_id}/events", json=body)).status_code

    async def task(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/api/v1/mesh/{task_id}")).json()
        return found


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    store, mesh, server = TaskStore(tmp_path / "tasks.db"), FakeMesh(), ApiServer()
    await server.start(create_app(store, mesh, token=server.token, body_limit=LIMIT, keepalive=0.05))
    headers = {"Authorization": f"Bearer {server.token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as client:
        yield Served(client, mesh, server, store)
    await server.stop()
    await store.close()


async def test_a_new_task_is_published_as_an_envelope_with_the_payload_untouched(served: Served) -> None:
    body = b'{"payload": {"n":1.0, "s":"\xc3\xa9"}, "headers": {"k": [1]}, "route": ["caption"], "timeout": 60}'
    answer = await served.client.post("/api/v1/mesh/?actor=resize", content=body)
    assert answer.status_code == 201
    [(actor, published)] = served.mesh.published
    envelope = decode(published)
    assert actor == "resize"
    assert (envelope.id, envelope.route.curr, envelope.route.next) == (answer.json()["id"], "resize", ["caption"])
    assert bytes(envelope.payload) == '{"n":1.0, "s":"é"}'.encode()
    assert json.loads(bytes(envelope.headers["k"])) == [1]
    assert envelope.status is not None
    task = await served.task(envelope.id)
    assert (task["status"], task["route"]) == ("pending", ["resize", "caption"])
    assert task["deadline_at"] == envelope.status.deadline_at is not None


@pytest.mark.parametrize(
    ("query", "body", "status", "code", "said"),
    [
        ("?actor=resise", {"payload": 1}, 404, "unknown_actor", "did you mean 'resize'?"),
        ("?actor=zzz", {"payload": 1}, 404, "unknown_actor", "there are: caption, resize"),
        ("?actor=resize", {"payload": 1, "route": ["captoin"]}, 404, "unknown_actor", "did you mean 'caption'?"),
        ("?actor=resize", {"payload": 1, "route": ["x-sink"]}, 400, "invalid_request", "comes at the end"),
        ("?actor=x-sump", {"payload": 1}, 400, "invalid_request", "comes at the end"),
        ("", {"payload": 1}, 400, "invalid_request", "name the first actor"),
        ("?actor=resize", {}, 400, "invalid_request", "payload"),
        ("?actor=resize", {"payload": 1, "rout": []}, 400, "invalid_request", "rout"),
        ("?actor=resize", {"payload": 1, "timeout": 0}, 400, "invalid_request", "timeout"),
        ("?actor=resize", {"payload": 1, "id": "a/b"}, 400, "invalid_request", "an id has"),
        ("?actor=resize", {"payload": 1, "headers": {"x-asya-hop": "x"}}, 400, "invalid_request", "x-asya-hop"),
    ],
)
async def test_a_request_that_cannot_be_carried_out_says_why(
    served: Served, query: str, body: dict[str, Any], status: int, code: str, said: str
) -> None:
    answer = await served.client.post(f"/api/v1/mesh/{query}", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert said in error["message"]
    assert served.mesh.published == []
    assert (await served.client.get("/api/v1/mesh/")).json() == {"messages": [], "total": 0}


async def test_an_id_of_ones_own_is_taken_once(served: Served) -> None:
    assert await served.create(id="order-7") == "order-7"
    again = await served.client.post("/api/v1/mesh/?actor=resize", json={"payload": 2, "id": "order-7"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "task_exists")
    assert len(served.mesh.published) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TooLargeError(actor="resize", size=9, limit=5), 413),
        (NoDestinationError(actor="resize", queue="q"), 503),
    ],
)
async def test_a_task_that_was_not_published_does_not_stay(served: Served, error: TransportError, status: int) -> None:
    served.mesh.refuses = error
    answer = await served.client.post("/api/v1/mesh/?actor=resize", json={"payload": 1, "id": "again"})
    assert answer.status_code == status
    served.mesh.refuses = None
    assert await served.create(id="again") == "again"


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"Authorization": ""}, "/api/v1/mesh/", 401),
        ({"Authorization": "Bearer wrong"}, "/api/v1/mesh/", 401),
        ({"Authorization": "Bearer é"}, "/api/v1/mesh/", 401),
        ({"Authorization": ""}, "/health", 200),
        ({"Host": "evil.example"}, "/api/v1/mesh/", 421),
        ({"Host": "evil.example"}, "/health", 421),
        ({"Host": "localhost:1234"}, "/api/v1/mesh/", 200),
        ({}, "/api/v1/nothing", 404),
    ],
)
async def test_who_may_ask_and_under_which_name(
    served: Served, headers: dict[str, str], path: str, status: int
) -> None:
    encoded = {name: value.encode() for name, value in headers.items()}
    answer = await served.client.get(path, headers=encoded)  # type: ignore[arg-type]  httpx takes bytes values
    assert answer.status_code == status
    assert status == 200 or set(answer.json()["error"]) == {"code", "message"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_body_over_the_limit_is_refused(served: Served, streamed: bool) -> None:
    text = json.dumps({"payload": "x" * LIMIT}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(text), 1000):
            yield text[start : start + 1000]

    answer = await served.client.post("/api/v1/mesh/?actor=resize", content=pieces() if streamed else text)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert served.mesh.published == []


async def test_reports_of_a_task_nobody_knows_are_answered_404_and_of_a_known_one_204(served: Served) -> None:
    assert await served.report("nobody", "succeeded", payload=1) == 404
    task_id = await served.create()
    assert await served.report(task_id, "succeeded", actor="x-sink", reason="Completed", payload={"a": [1]}) == 204
    task = await served.task(task_id)
    assert (task["status"], task["result"], task["reason"]) == ("succeeded", {"a": [1]}, "Completed")


async def test_a_batch_takes_what_it_can_and_tells_what_was_canceled(served: Served) -> None:
    kept, dropped = await served.create(), await served.create()
    assert (await served.client.delete(f"/api/v1/mesh/{dropped}")).status_code == 204
    assert (await served.client.delete(f"/api/v1/mesh/{dropped}")).status_code == 204
    report = {"type": "status", "status": "processing", "at": format_time(4e9), "data": {"actor": "resize"}}
    batch = {"events": [report | {"id": "nobody"}, report | {"id": kept}], "running": [kept, dropped, "nobody"]}
    answer = await served.client.post("/api/v1/mesh/events", json=batch)
    assert (answer.status_code, answer.json()) == (200, {"canceled": [dropped]})
    assert (await served.task(kept))["status"] == "running"


async def test_the_trace_is_a_tree_of_hops(served: Served) -> None:
    task_id = await served.create()
    await served.report(task_id, None, kind="children", actor="resize", hop=0, children=["kid"])
    await served.report("kid", "completed", actor="caption", hop=1, row="end-of-route", duration_ms=2.5, to=["x-sink"])
    trace = (await served.client.get(f"/api/v1/mesh/{task_id}/trace")).json()
    assert (trace["id"], trace["hops"], len(trace["children"])) == (task_id, [], 1)
    [hop] = trace["children"][0]["hops"]
    assert (hop["actor"], hop["row"], hop["duration_ms"], hop["to"]) == ("caption", "end-of-route", 2.5, ["x-sink"])


async def read_events(
    served: Served, task_id: str, headers: dict[str, str] | None = None
) -> AsyncIterator[tuple[str, Any]]:
    event = ""
    async with served.client.stream("GET", f"/api/v1/mesh/{task_id}/events", headers=headers or {}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                yield event, json.loads(line[6:])
            elif line.startswith(": "):
                yield "comment", None


async def test_a_watcher_sees_the_present_then_events_as_they_come_and_the_final_one_last(served: Served) -> None:
    task_id = await served.create()
    await served.report(task_id, None, kind="fly", token="before")
    seen: list[tuple[str, Any]] = []
    async with asyncio.timeout(10):
        async for kind, data in read_events(served, task_id):
            seen.append((kind, data.get("token", data.get("status")) if data else None))
            if len(seen) == 2:
                await served.report(task_id, "processing", actor="resize", hop=0)
                await served.report(task_id, None, kind="fly", token="while\nrunning")
            if seen[-1] == ("fly", "while\nrunning"):
                await served.report(task_id, "failed", actor="x-sink", reason="PolicyExhausted")
                # Progress is batched: this one comes behind the final report.
                await served.report(task_id, None, kind="fly", token="straggler")
    assert [entry for entry in seen if entry[0] != "comment"] == [
        ("status", "pending"),
        ("fly", "before"),
        ("status", "running"),
        ("fly", "while\nrunning"),
        ("fly", "straggler"),
        ("status", "failed"),
    ]


async def test_an_idle_stream_is_kept_alive_by_comments(served: Served) -> None:
    task_id = await served.create()
    async with asyncio.timeout(10):
        events = read_events(served, task_id)
        assert [(await anext(events))[0] for _ in range(3)] == ["status", "comment", "comment"]
        await events.aclose()  # type: ignore[attr-defined]  an async generator


async def test_a_watcher_who_comes_back_gets_only_what_is_new(served: Served) -> None:
    task_id = await served.create()
    for number in range(3):
        await served.report(task_id, None, kind="fly", n=number)
    await served.report(task_id, "succeeded", payload=None)
    async with asyncio.timeout(10):
        seen = [data async for kind, data in read_events(served, task_id, {"Last-Event-ID": "2"}) if kind == "fly"]
    assert seen == [{"n": 2}]


async def test_events_of_a_task_nobody_knows_are_404(served: Served) -> None:
    assert (await served.client.get("/api/v1/mesh/nobody/events")).status_code == 404


async def test_watchers_are_told_that_the_server_stops_and_of_an_end_that_came_before(served: Served) -> None:
    open_id, ended_id = await served.create(), await served.create()

    begun = asyncio.Semaphore(0)

    async def seen(task_id: str) -> list[tuple[str, Any]]:
        found = []
        async for kind, data in read_events(served, task_id):
            if kind != "comment":
                found.append((kind, data))
            begun.release()
        return found

    async with asyncio.timeout(10):
        watching = asyncio.gather(seen(open_id), seen(ended_id))
        for _ in range(4):
            await begun.acquire()
        await served.report(ended_id, "succeeded", actor="x-sink", reason="Completed")
        served.store.stop_watching()
        open_seen, ended_seen = await watching
        late = await seen(open_id)
    assert open_seen[-1] == ("stopping", {"id": open_id, "status": "pending"})
    assert (ended_seen[-1][0], ended_seen[-1][1]["status"]) == ("status", "succeeded")
    assert [kind for kind, _ in late] == ["status", "stopping"]


async def test_what_is_listed_can_be_filtered_and_paged(served: Served) -> None:
    ids = [await served.create() for _ in range(3)]
    await served.report(ids[0], "canceled", reason="PreFlightCanceled")
    listed = (await served.client.get("/api/v1/mesh/?status=canceled")).json()
    assert ([task["id"] for task in listed["messages"]], listed["total"]) == ([ids[0]], 1)
    assert (await served.client.get("/api/v1/mesh/?limit=1&offset=1")).json()["messages"][0]["id"] == ids[1]
    for wrong in ("status=done", "limit=0", "limit=x", "offset=-1"):
        assert (await served.client.get(f"/api/v1/mesh/?{wrong}")).status_code == 400


def test_the_address_file_is_for_its_owner_only(tmp_path: Path) -> None:
    write_address(tmp_path, "http://127.0.0.1:1", "secret")
    write_address(tmp_path, "http://127.0.0.1:2", "secret")
    assert stat.S_IMODE((tmp_path / "api.json").stat().st_mode) == 0o600
    assert json.loads((tmp_path / "api.json").read_text())["url"] == "http://127.0.0.1:2"
    assert [path.name for path in tmp_path.iterdir()] == ["api.json"]


async def test_a_port_in_use_is_named(served: Served) -> None:
    port = int(served.server.url.rsplit(":", 1)[1])
    with pytest.raises(AsyaError, match=f"port {port}"):
        ApiServer(port)


async def test_many_reports_at_once_are_all_durable(served: Served, tmp_path: Path) -> None:
    task_ids = await asyncio.gather(*(served.create() for _ in range(20)))
    answers = await asyncio.gather(*(served.report(task_id, "succeeded", payload=1) for task_id in task_ids))
    assert answers == [204] * 20
    import sqlite3

    with sqlite3.connect(tmp_path / "tasks.db") as other:
        assert other.execute("SELECT count(*) FROM tasks WHERE status = 'succeeded'").fetchone() == (20,)
    other.close()


async def test_who_sends_or_asks_for_a_task_is_noticed_and_who_reports_is_not(served: Served) -> None:
    task_id = await served.create()
    await served.task(task_id)
    before = served.mesh.questions
    assert before == 2
    await served.report(task_id, "succeeded", payload=1)
    await served.client.get("/api/v1/actors")
    assert served.mesh.questions == before
