"""A task's events as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import msgspec

from asya.local import views
from asya.local.reports import FINAL, Event, Task
from asya.local.writer import TaskStore
from asya.wire import Raw

# Progress is batched by the sidecars and may arrive behind the final report, which is not.
_STRAGGLERS_SECONDS = 0.3


async def task_events(store: TaskStore, task_id: str, *, after: int, keepalive: float) -> AsyncIterator[bytes]:
    """Yield the present status, the events the log holds after number `after`, then news as they come.

    A comment is sent after `keepalive` seconds of silence. The stream ends after the final status, which is held back a
    moment for events that were emitted before it and are still on their way; or with an event ``stopping`` when the
    store stops watching (`TaskStore.stop_watching`).
    """
    with store.watch(task_id) as news:
        task, snapshot = await store.read(lambda db: (views.task(db, task_id), views.last_seq(db, task_id)))
        if task.status not in FINAL:
            yield _present(task, after)
        seq = after
        while True:
            news.clear()
            events = await store.read(partial(views.events_after, task_id=task_id, seq=seq))
            for event in events:
                seq = event.seq
                # Older statuses are told by the present one, the final one comes last.
                if event.type == "fly" or (event.seq > snapshot and not _is_final(event)):
                    yield _event(event.type, event.data, event.seq)
            if events:
                continue
            task = await store.read(lambda db: views.task(db, task_id))
            ended = task.status in FINAL
            # The end of watching is news as well: then there is one more look, and no more waiting.
            if not store.stopping and await _wait(news, _STRAGGLERS_SECONDS if ended else keepalive):
                continue
            if ended:
                yield _present(task, seq)
                return
            if store.stopping:
                yield _event("stopping", Raw(msgspec.json.encode({"id": task.id, "status": task.status})), seq)
                return
            yield b": still here\n\n"


async def _wait(news: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return False
    return True


def _is_final(event: Event) -> bool:
    found: dict[str, object] = msgspec.json.decode(event.data)
    return found.get("status") in FINAL


def _present(task: Task, seq: int) -> bytes:
    data = {
        "id": task.id,
        "status": task.status,
        "actor": task.actor,
        "progress": task.progress,
        "reason": task.reason,
        "at": task.updated_at,
        "error": task.error,
    }
    return _event("status", Raw(msgspec.json.encode(data)), seq)


def _event(kind: str, data: Raw, seq: int) -> bytes:
    # JSON text on one line: a newline inside would end the field.
    line = bytes(data).replace(b"\r", b"").replace(b"\n", b"")
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, kind.encode(), line)
