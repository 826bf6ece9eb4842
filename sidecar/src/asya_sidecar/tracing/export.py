"""Sending spans away: OTLP over gRPC or HTTP, in a thread of its own with a bounded queue.

Where the receiver is slow or away, spans are dropped and the loop never waits. What is not set by us is taken from the
standard `OTEL_*` variables by the SDK itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from asya import __version__
from asya.errors import SettingsError
from asya_sidecar.settings import TracingSettings
from asya_sidecar.tracing.ids import Ids

log = logging.getLogger("asya.tracing")

FLUSH_SECONDS, SHUTDOWN_SECONDS = 5.0, 1.0


class Export:
    """A tracer provider that exports, and its end."""

    def __init__(self, settings: TracingSettings, actor: str, namespace: str) -> None:
        """Make the provider.

        Raises:
            SettingsError: The exporter's package is not installed.
        """
        self.ids = Ids()
        ratio = settings.sample_ratio
        self.provider = TracerProvider(
            # Without a ratio of ours the SDK asks OTEL_TRACES_SAMPLER; its default is the parent's decision, else yes.
            sampler=None if ratio is None else ParentBased(TraceIdRatioBased(ratio)),
            resource=_resource(actor, namespace),
            id_generator=self.ids,
            shutdown_on_exit=False,
        )
        self._exporter = _exporter(settings)
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter))

    async def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Send what is left, for some seconds at most: a receiver that is away must not hold up the end."""
        if not await _in_thread(self.provider.force_flush, seconds):
            log.warning("not all spans were sent within %g s", seconds)
            await _in_thread(self._exporter.shutdown, SHUTDOWN_SECONDS)  # ends what is being tried again
        await _in_thread(self.provider.shutdown, SHUTDOWN_SECONDS)


async def _in_thread(work: Callable[[], object], seconds: float) -> bool:
    """Run `work`, and tell whether it ended in time. Its thread is a daemon: the process may end without it."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        work()
        with contextlib.suppress(RuntimeError):  # the loop was not waited for
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=run, name="last spans", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        return False
    return True


def _resource(actor: str, namespace: str) -> Resource:
    ours = {
        "service.name": actor,
        "service.namespace": namespace,
        "service.version": __version__,
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _exporter(settings: TracingSettings) -> SpanExporter:
    try:
        if settings.is_http:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  only what is asked for
                OTLPSpanExporter as HttpExporter,
            )

            return HttpExporter(endpoint=settings.http_endpoint, headers=settings.headers)
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415  only what is asked for
            OTLPSpanExporter as GrpcExporter,
        )
    except ImportError:
        extra = "otlp-http" if settings.is_http else "otlp-grpc"
        raise SettingsError(
            [f"tracing is on, but its exporter is not installed; install asya-sidecar[{extra}]"]
        ) from None
    return GrpcExporter(
        endpoint=settings.endpoint, headers=None if settings.headers is None else tuple(settings.headers.items())
    )
