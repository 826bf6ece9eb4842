"""What watches a sidecar, put together from its settings: probes, metrics, tracing; each loaded where asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from asya.errors import SettingsError
from asya.transports.registry import queue_names
from asya_sidecar.decide import Actor
from asya_sidecar.loop import Loop
from asya_sidecar.settings import SidecarSettings

if TYPE_CHECKING:
    from asya_sidecar.health import Runtime
    from asya_sidecar.metrics.recorder import Recorder
    from asya_sidecar.metrics.registries import WorkerRegistries
    from asya_sidecar.serve import Address, HttpServer, Route
    from asya_sidecar.tracing.export import Export
    from asya_sidecar.tracing.tracer import HopTracer

log = logging.getLogger("asya.sidecar")

NOT_INSTALLED = "tracing is on, but OpenTelemetry is not installed; install asya-sidecar[otlp-grpc] or [otlp-http]"


class Watch:
    """The observer and the tracer for the loop; then, once there is a loop, the pages that show it."""

    def __init__(self, settings: SidecarSettings, actor: Actor) -> None:
        """Make what the settings ask for.

        Raises:
            SettingsError: Tracing is on and its exporter is not installed.
        """
        self._settings, self._actor = settings, actor
        self._servers: list[HttpServer] = []
        self._export: Export | None = None
        self.observer: Recorder | None = None
        self.tracer: HopTracer | None = None
        if settings.metrics_address is not None:
            from asya_sidecar.metrics.recorder import Recorder  # noqa: PLC0415  only where it is counted

            self.observer = Recorder(actor, settings.custom_metrics)
        if settings.tracing.on:
            self._trace()

    def _trace(self) -> None:
        where, tracing = self._settings.transport, self._settings.tracing
        try:
            try:
                from asya_sidecar.tracing.export import Export  # noqa: PLC0415  with it comes OpenTelemetry
                from asya_sidecar.tracing.tracer import HopTracer  # noqa: PLC0415
            except ImportError:
                raise SettingsError([NOT_INSTALLED]) from None
            self._export = Export(tracing, self._actor.name, where.namespace)
        except SettingsError as error:
            if tracing.endpoint_setting is not None:
                raise
            # The standard's variables may be there for other programs.
            log.warning("no traces: %s", "; ".join(error.problems))
            return
        self.tracer = HopTracer(
            self._export.provider, self._export.ids, self._actor, where.transport, queue_names(where).queue
        )

    @property
    def registries(self) -> WorkerRegistries | None:
        """Who keeps what workers count by themselves."""
        return None if self.observer is None else self.observer.registries

    async def open(self, loop: Loop, *, awaited: Callable[[], str]) -> None:
        """Serve the pages; `awaited` says which problem is only start-up.

        Raises:
            SettingsError: An address cannot be listened on.
        """
        pages = self._pages(loop, awaited)
        if not pages:
            return
        from asya_sidecar.serve import HttpServer  # noqa: PLC0415  h11 is loaded only where something is served

        for address, routes in pages.items():
            server = HttpServer(address, routes)
            try:
                await server.open()
            except OSError as error:
                names = " and ".join(sorted(routes))
                where = f"{address[0]}:{address[1]}"
                raise SettingsError([f"{names} cannot be served on {where}: {error.strerror}"]) from None
            self._servers.append(server)

    async def close(self) -> None:
        """Stop serving, and send the last spans."""
        for server in self._servers:
            await server.close()
        if self._export is not None:
            await self._export.close()

    def _pages(self, loop: Loop, awaited: Callable[[], str]) -> dict[Address, dict[str, Route]]:
        settings = self._settings
        pages: dict[Address, dict[str, Route]] = {}
        if settings.health_address is not None:
            from asya_sidecar.health import probes, runtime_probes  # noqa: PLC0415  only where probes are asked for

            own = probes(
                alive=lambda: [f"ended by {loop.failure!r}"] if loop.failure is not None else [],
                ready=loop.problems,
                awaited=awaited,
                notices=lambda: loop.notices,
            )
            pages[settings.health_address] = {**own, **runtime_probes(lambda: _runtime(loop))}
        if settings.metrics_address is not None and self.observer is not None:
            from asya_sidecar.metrics.page import Page  # noqa: PLC0415  only where it is counted

            where = settings.transport
            page = Page(self._actor, where.namespace, where.transport, queue_names(where).queue, self.observer, loop)
            pages.setdefault(settings.metrics_address, {})["/metrics"] = page.route
        return pages


def _runtime(loop: Loop) -> Runtime:
    from asya_sidecar.health import Runtime  # noqa: PLC0415

    link = loop.link
    assert link is not None  # noqa: S101  pages are served once there is one
    return Runtime(link.capacity, link.reason, link.silence)
