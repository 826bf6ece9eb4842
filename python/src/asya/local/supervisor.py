"""`asya up` itself: queues declared, API served, every actor scaled by its backlog, everything ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from asya.api.environment import SINK, SUMP
from asya.errors import AsyaError, TransportError
from asya.local import views
from asya.local.api import create_app
from asya.local.console import Console
from asya.local.idle import Ending, IdleWatch, Sight
from asya.local.plan import ActorPlan, MeshPlan
from asya.local.pool import Pool
from asya.local.record import StatusRecord
from asya.local.replica import Replica, runtime_file
from asya.local.scaler import Scaler
from asya.local.server import ApiServer, write_address
from asya.local.state import StateFolder
from asya.local.tally import Tally
from asya.local.writer import TaskStore
from asya.transports import Outgoing, Transport

if TYPE_CHECKING:
    from asya.local.metrics.serving import MetricsServer

EXIT_OK, EXIT_FAILED_TASKS, EXIT_STUCK, EXIT_KILLED = 0, 3, 4, 130
_CONNECT_SECONDS = 12.0
_CONNECT_WORD_SECONDS = 3.0
_IDLE_LOOK_SECONDS = 0.25
_BODY_MARGIN = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How `asya up` was asked to run.

    `transport_env` are the transport's variables for every sidecar, `metrics_port` None when no metrics are wanted.
    """

    transport_env: Mapping[str, str]
    log_level: str
    port: int = 0
    exit_when_idle: bool = False
    metrics_port: int | None = None


class Supervisor:
    """Runs one mesh on this machine; also what the API sees of it (`asya.local.api.Mesh`)."""

    sink, sump = SINK, SUMP

    def __init__(
        self, plan: MeshPlan, state: StateFolder, transport: Transport, console: Console, options: Options
    ) -> None:
        self._plan, self._state, self._transport = plan, state, transport
        self._console, self._options = console, options
        self._pools: dict[str, Pool] = {}
        self._ending = asyncio.Event()
        self._killed = asyncio.Event()
        self._exit_code = EXIT_OK
        self._said: dict[str, str] = {}
        self._tally = Tally()
        self._metrics: MetricsServer | None = None
        self._started_at = time.time()
        self._asked_at = time.monotonic()

    # -- what the API asks

    def actors(self) -> Sequence[Mapping[str, Any]]:
        """Return one record per actor that runs here."""
        return [pool.record() for pool in self._pools.values()]

    async def is_known(self, actor: str) -> bool:
        """Tell whether there is a queue: an actor of this folder, or one of the namespace that runs elsewhere."""
        if any(plan.name == actor for plan in (*self._plan.actors, *self._plan.idle)):
            return True
        return actor in await self._transport.depth([actor])

    async def publish(self, actor: str, body: bytes) -> None:
        """Publish one envelope."""
        await self._transport.publish([Outgoing(actor, body)])

    def asked(self) -> None:
        """Take note that somebody sends tasks or wants to know of them."""
        self._asked_at = time.monotonic()

    # -- life

    def stop(self) -> None:
        """Ask for a drain; asked again, for an end at once."""
        if self._ending.is_set():
            self._console.event("killing", "ending everything now", level="warning")
            self._exit_code = EXIT_KILLED
            self._killed.set()
        else:
            self._console.event("draining", "letting what runs finish; once more to end it at once")
            self._ending.set()

    async def run(self) -> int:
        """Run until asked to stop, or until idle when that was asked for; return the exit code.

        Raises:
            AsyaError: It could not begin.
        """
        runtime_file()
        async with contextlib.AsyncExitStack() as stack:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
                stack.callback(asyncio.get_running_loop().remove_signal_handler, number)
            if not await self._open_transport(stack):
                return EXIT_OK
            store = TaskStore(self._state.tasks)
            stack.push_async_callback(store.close)
            server = ApiServer(self._options.port)
            stack.push_async_callback(server.stop)
            # Before the server stops: a stream that is cut would be an error on both of its ends.
            stack.callback(store.stop_watching)
            http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            record = stack.enter_context(StatusRecord(self._state.status))
            self._metrics = self._open_metrics(store, http)
            if self._metrics is not None:
                stack.push_async_callback(self._metrics.stop)
            await self._serve(store, server, http, record)
        return self._exit_code

    async def _open_transport(self, stack: contextlib.AsyncExitStack) -> bool:
        """Connect and declare every queue; False when the user gave up meanwhile."""
        stack.push_async_callback(self._transport.close)
        opening = asyncio.create_task(self._transport.open())
        stopping = asyncio.create_task(self._ending.wait())
        done, _ = await asyncio.wait(
            (opening, stopping), timeout=_CONNECT_WORD_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            reason = self._transport.link.reason or "no answer yet"
            self._console.event("connecting", f"waiting for {self._transport.name}: {reason}", level="warning")
            await asyncio.wait((opening, stopping), timeout=_CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not opening.done():
            opening.cancel()
            if self._ending.is_set():
                return False
            raise AsyaError(f"{self._transport.name} cannot be reached: {self._transport.link.reason or 'no answer'}")
        opening.result()
        await self._transport.declare([plan.queue for plan in (*self._plan.actors, *self._plan.idle)])
        return True

    def _open_metrics(self, store: TaskStore, http: httpx.AsyncClient) -> MetricsServer | None:
        if self._options.metrics_port is None:
            return None
        from asya.local.metrics.serving import MetricsServer  # noqa: PLC0415  loaded only when asked for

        return MetricsServer(
            self._options.metrics_port,
            self._pools,
            namespace=self._plan.namespace,
            transport=self._transport.name,
            tally=self._tally,
            store=store,
            http=http,
            folder=self._state.metrics,
        )

    async def _serve(self, store: TaskStore, server: ApiServer, http: httpx.AsyncClient, record: StatusRecord) -> None:
        now = time.monotonic()
        for plan in self._plan.actors:
            self._pools[plan.name] = Pool(
                plan,
                self._starter(plan, server, http, record),
                lambda: record.note(self.actors()),
                now=now,
            )
        limit = self._transport.limits.message_bytes + _BODY_MARGIN
        await server.start(create_app(store, self, token=server.token, body_limit=limit))
        write_address(self._state.path, server.url, server.token)
        self._console.event(
            "ready",
            f"{len(self._plan.actors)} actors of namespace {self._plan.namespace} on {self._transport.name}; "
            f"API at {server.url}, state in {self._state.path}",
            url=server.url,
            state=str(self._state.path),
            actors=[plan.name for plan in self._plan.actors],
        )
        async with self._tasks() as tasks:
            if self._metrics is not None:
                await self._serve_metrics(self._metrics)
                tasks.append(asyncio.create_task(self._metrics.collector.run(), name="metrics"))
            scaler = Scaler(
                self._transport, store, self._console, self._tally, on_look=lambda: record.note(self.actors())
            )
            for name, loop in scaler.loops(self._pools.values()).items():
                tasks.append(asyncio.create_task(loop, name=name))
            if self._options.exit_when_idle:
                tasks.append(asyncio.create_task(self._watch_idle(store), name="idle"))
            ending = asyncio.create_task(self._ending.wait(), name="ending")
            tasks.append(ending)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        try:
            for task in done:
                task.result()
        finally:
            await self._end_all(record)

    async def _serve_metrics(self, metrics: MetricsServer) -> None:
        await metrics.start()
        text = f"metrics at {metrics.page}\n     for Prometheus: prometheus --config.file={metrics.config_file}"
        self._console.event("metrics", text, url=metrics.url, page=metrics.page, config=str(metrics.config_file))

    @contextlib.asynccontextmanager
    async def _tasks(self) -> AsyncIterator[list[asyncio.Task[Any]]]:
        tasks: list[asyncio.Task[Any]] = []
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _end_all(self, record: StatusRecord) -> None:
        """Drain every pool side by side, or kill what is left as soon as that is asked for."""
        draining = asyncio.gather(*(pool.drain() for pool in self._pools.values()))
        killed = asyncio.create_task(self._killed.wait())
        await asyncio.wait((draining, killed), return_when=asyncio.FIRST_COMPLETED)
        if self._killed.is_set():
            await asyncio.gather(*(pool.kill() for pool in self._pools.values()))
        killed.cancel()
        await draining
        with contextlib.suppress(TransportError):
            await self._look_at_queues()
        record.note(self.actors())

    # -- replicas

    def _starter(self, plan: ActorPlan, server: ApiServer, http: httpx.AsyncClient, record: StatusRecord) -> Any:  # noqa: ANN401  a function of one number
        sidecar_env = {
            **self._options.transport_env,
            "ASYA_GATEWAY_URL": server.url,
            "ASYA_GATEWAY_TOKEN": server.token,
        }
        if "ASYA_LOG_LEVEL" not in plan.sidecar_env:
            sidecar_env["ASYA_LOG_LEVEL"] = self._options.log_level

        # Not the name: a socket's path is short, an actor's name need not be.
        index = self._plan.actors.index(plan)

        def start(number: int) -> Replica:
            return Replica(
                plan,
                number,
                socket_dir=self._state.socket_dir(f"{index}-{number}"),
                log=self._state.logs / f"{plan.name}-{number}.log",
                sidecar_env=sidecar_env,
                on_line=lambda source, text, ready: self._console.line(plan.name, number, source, text, ready=ready),
                on_change=lambda: self._changed(plan.name, record),
                on_restart=lambda name: self._tally.restarts.update([(plan.name, number, name)]),
                http=http,
                before_drain=None if self._metrics is None else self._metrics.collector.look_at_replicas,
            )

        return start

    def _changed(self, actor: str, record: StatusRecord) -> None:
        """Tell a new reason once, at once; the processes themselves are started again and again and would repeat it."""
        reason = self._pools[actor].reason
        if reason and self._said.get(actor) != reason:
            self._said[actor] = reason
            text = f"{actor} cannot work: {reason} (more in {self._state.logs}/{actor}-*.log)"
            self._console.event("not-ready", text, level="error", actor=actor, reason=reason)
        record.note(self.actors())

    # -- the end by itself

    async def _watch_idle(self, store: TaskStore) -> None:
        watch = IdleWatch()
        while True:
            await asyncio.sleep(_IDLE_LOOK_SECONDS)
            with contextlib.suppress(TransportError):
                await self._look_at_queues()
            counts = await store.read(lambda db: views.count_by_status(db, self._started_at))
            waiting = [pool for pool in self._pools.values() if pool.waiting]
            sight = Sight(
                now=time.monotonic(),
                waiting=[pool.plan.name for pool in waiting],
                failing=[pool.plan.name for pool in waiting if pool.failing],
                open_tasks=counts.get("pending", 0) + counts.get("running", 0),
                tasks_seen=sum(counts.values()),
                asked_at=self._asked_at,
            )
            ending = watch.look(sight)
            if ending is not None:
                self._conclude(ending, counts, waiting)
                self._ending.set()
                return

    async def _look_at_queues(self) -> None:
        for name, depth in (await self._transport.depth(list(self._pools))).items():
            self._pools[name].depth = depth

    def _conclude(self, ending: Ending, counts: Mapping[str, int], waiting: Sequence[Pool]) -> None:
        ended = {status: counts.get(status, 0) for status in ("succeeded", "failed", "canceled")}
        dead = sum(pool.depth.dead or 0 for pool in self._pools.values())
        if ending is Ending.STUCK:
            self._exit_code = EXIT_STUCK
            left = {pool.plan.name: pool.waiting for pool in waiting}
            told = "; ".join(
                f"{name} has {count} messages left: {self._pools[name].reason}" for name, count in left.items()
            )
            self._console.event("stuck", f"stopping: {told}", level="error", left=left, **ended)
            return
        text = f"idle: {ended['succeeded']} succeeded, {ended['failed']} failed, {ended['canceled']} canceled"
        if not_ended := counts.get("pending", 0) + counts.get("running", 0):
            text += f", {not_ended} open although no queue that is served here holds them"
        if dead:
            text += f", {dead} in dead-letter queues"
        bad = bool(ended["failed"] or dead)
        self._exit_code = EXIT_FAILED_TASKS if bad else EXIT_OK
        self._console.event("idle", text, level="warning" if bad else "info", dead=dead, **ended)
