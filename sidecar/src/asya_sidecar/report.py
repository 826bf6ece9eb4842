"""Reports to whoever watches a task: progress batched and droppable, final ones acknowledged.

Format: docs/reference/mesh-api.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import msgspec

from asya.wire import Envelope, Raw, headers
from asya_sidecar.decide.before import Preflight
from asya_sidecar.events import Report
from asya_sidecar.http import HttpClient, HttpError

log = logging.getLogger("asya.report")

BATCH, BATCH_BYTES = 200, 1024 * 1024
BUFFER, BUFFER_BYTES = 10_000, 8 * 1024 * 1024
FLY_BYTES = 256 * 1024
"""Largest event that is passed on; a longer one belongs into a result."""
FLUSH_SECONDS = 0.1
RUNNING_SECONDS = 1.0
PREFLIGHT_SECONDS = 2.0
POST_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
STRANGER_PATIENCE_SECONDS = 60.0
LONGEST_LIST = 64

_OFF = b'"off"'
# Wrong in itself (RFC 9110): a message must not wait for ever because its report is too long, say.
_NEVER = frozenset({400, 413, 415, 422})


class HttpReceiver:
    """Reports for one address. Progress waits in a bounded buffer; when it is full the oldest is dropped."""

    def __init__(self, url: str, token: str | None, *, known: bool) -> None:
        self.url = url.rstrip("/")
        self.known = known
        """Whether it is the configured one; patience with any other is bounded."""
        self._client = HttpClient(self.url, token)
        self._events: deque[Report] = deque()
        self._bytes = 0
        self._running: dict[str, Callable[[], None]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def started(self, envelope_id: str, stop: Callable[[], None]) -> None:
        """Note a call under way; `stop()` is called when its task is canceled meanwhile."""
        self._running[envelope_id] = stop
        self._ensure_task()

    def ended(self, envelope_id: str) -> None:
        """Note that a call is over."""
        self._running.pop(envelope_id, None)

    def progress(self, report: Report) -> None:
        """Queue a droppable report."""
        size = _size(report)
        if size > FLY_BYTES:
            self.dropped += 1
            log.warning(
                "an event of %d bytes is dropped, the limit is %d", size, FLY_BYTES, extra={"envelope": report.id}
            )
            return
        self._events.append(report)
        self._bytes += size
        while len(self._events) > BUFFER or self._bytes > BUFFER_BYTES:
            self._forget(1)
            self.dropped += 1
        self._wake.set()
        self._ensure_task()

    async def final(self, report: Report) -> bool:
        """Deliver one report and wait until it is acknowledged. False when a stranger's address never did."""
        body = msgspec.json.encode(report)
        path = f"/api/v1/mesh/{quote(report.id, safe='')}/events"
        loop = asyncio.get_running_loop()
        give_up, pause = loop.time() + STRANGER_PATIENCE_SECONDS, FIRST_PAUSE
        while True:
            try:
                status, _ = await self._client.request("POST", path, body, seconds=POST_SECONDS)
                if status < 300 or status == 404:
                    return True  # 404: nobody knows the task, so nobody waits for it
                problem = f"answered {status}"
                if status in _NEVER:
                    log.error("a report can never be accepted: %s %s", self.url, problem, extra={"envelope": report.id})
                    return False
            except HttpError as error:
                problem = str(error)
            if not self.known and loop.time() >= give_up:
                log.error("a report was given up: %s %s", self.url, problem, extra={"envelope": report.id})
                return False
            log.warning("a report is not acknowledged yet: %s %s", self.url, problem, extra={"envelope": report.id})
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def preflight(self, envelope_id: str) -> Preflight | None:
        """Ask whether the task was canceled or paused. Whoever cannot be asked has no objection."""
        path = f"/api/v1/mesh/{quote(envelope_id, safe='')}"
        try:
            status, body = await self._client.request("GET", path, b"", seconds=PREFLIGHT_SECONDS)
        except HttpError:
            return None
        answer = _field(body, "status") if status == 200 else None
        return "canceled" if answer == "canceled" else "paused" if answer == "paused" else None

    async def flush(self, seconds: float) -> None:
        """Send what is buffered, for at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while self._events:
                    await self._send_batch()
        except (TimeoutError, HttpError):
            self.dropped += len(self._events)
            self._forget(len(self._events))

    async def close(self) -> None:
        """Stop; what is still buffered is dropped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._client.close()

    def _ensure_task(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), name=f"reports to {self.url}")

    async def _work(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(RUNNING_SECONDS if self._running else None):
                    await self._wake.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(FLUSH_SECONDS)  # the batching window: progress may wait this long
            try:
                while self._events or self._running:
                    await self._send_batch()
                    pause = FIRST_PAUSE
                    if len(self._events) < BATCH:
                        break
            except HttpError as error:
                log.debug("progress is not delivered: %s %s", self.url, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            if not self._events:
                self._wake.clear()

    async def _send_batch(self) -> None:
        events = self._first_batch()
        body = msgspec.json.encode({"events": events, "running": list(self._running)})
        status, answer = await self._client.request("POST", "/api/v1/mesh/events", body, seconds=POST_SECONDS)
        if status >= 500:
            raise HttpError(f"answered {status}")
        # While this was on its way the buffer may have run over: what was sent is then gone from it already.
        while self._events and events and any(self._events[0] is sent for sent in events):
            self._forget(1)
        if status >= 300:
            log.debug("reports were refused: %s answered %d", self.url, status)
            return
        canceled = _field(answer, "canceled")
        for envelope_id in canceled if isinstance(canceled, list) else ():
            stop = self._running.pop(envelope_id, None) if isinstance(envelope_id, str) else None
            if stop is not None:
                stop()

    def _first_batch(self) -> list[Report]:
        """Return the oldest reports, as many as fit into one request."""
        batch: list[Report] = []
        size = 0
        for report in self._events:
            size += _size(report)
            if batch and (len(batch) == BATCH or size > BATCH_BYTES):
                break
            batch.append(report)
        return batch

    def _forget(self, count: int) -> None:
        """Take the oldest reports out of the buffer."""
        for _ in range(count):
            self._bytes -= _size(self._events.popleft())


class HttpReporter:
    """Chooses the receiver of each envelope: its own header's where that is allowed, else the configured one."""

    def __init__(self, url: str | None, token: str | None, hosts: tuple[str, ...]) -> None:
        self._default = HttpReceiver(url, token, known=True) if url else None
        self._hosts = set(hosts)
        if url and (host := urlsplit(url).hostname):
            self._hosts.add(host)
        self._others: dict[str, HttpReceiver] = {}

    def receiver(self, envelope: Envelope) -> HttpReceiver | None:
        """Return who hears of this envelope, or None."""
        own = envelope.headers
        if headers.MESH_STATUS in own and bytes(own[headers.MESH_STATUS]) == _OFF:
            return None
        if headers.GATEWAY_URL in own and self._hosts:
            other = self._allowed(own[headers.GATEWAY_URL])
            if other is not None:
                return other
        return self._default

    def all(self) -> list[HttpReceiver]:
        """Return every receiver that has been used."""
        return ([self._default] if self._default else []) + list(self._others.values())

    def _allowed(self, header: Raw) -> HttpReceiver | None:
        """Check the address an envelope brought: http or https, a host, and one we were told to trust."""
        try:
            url = msgspec.json.decode(header, type=str)
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
            url.encode("ascii")
            (host or "").encode("idna")
        except (msgspec.MsgspecError, ValueError):
            return None
        if parts.scheme not in ("http", "https") or not host or not ("*" in self._hosts or host in self._hosts):
            log.debug("the envelope's report address is not used: %s", url[:256])
            return None
        if self._default is not None and url.rstrip("/") == self._default.url:
            return self._default
        if url not in self._others:
            if len(self._others) >= LONGEST_LIST:
                return None  # bounded: an address is input from outside
            self._others[url] = HttpReceiver(url, None, known=False)
        return self._others[url]


def _size(report: Report) -> int:
    """Return about how many bytes a report takes: events have any size, all others are small."""
    return len(bytes(report.data)) if isinstance(report.data, Raw) else 512


def _field(body: bytes, name: str) -> object:
    """Return one field of a JSON object; None for whatever is not one. An answer is input from outside."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return answer.get(name) if isinstance(answer, dict) else None
