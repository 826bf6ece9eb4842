"""Sending spans away: OTLP over gRPC or HTTP, in a thread of its own with a bounded queue.

Where the receiver is slow or away, spans are dropped and the loop never waits. What is not set by us is taken from the
standard `OTEL_*` variables by the SDK itself.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import socket

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from asya.errors import SettingsError
from asya_sidecar.settings import TracingSettings
from asya_sidecar.tracing.ids import Ids

FLUSH_SECONDS = 5.0


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
        self.provider.add_span_processor(BatchSpanProcessor(_exporter(settings)))

    async def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        await asyncio.to_thread(self.provider.force_flush, int(FLUSH_SECONDS * 1000))
        await asyncio.to_thread(self.provider.shutdown)


def _resource(actor: str, namespace: str) -> Resource:
    ours = {
        "service.name": actor,
        "service.namespace": namespace,
        "service.version": importlib.metadata.version("asya-sidecar"),
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
