"""Trace context in an envelope's headers: W3C Trace Context (`traceparent`, `tracestate`), and what we add to it."""

from __future__ import annotations

import hashlib

import msgspec
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from asya.wire import Raw, headers, raw

LINKS_LIMIT = 128

_w3c = TraceContextTextMapPropagator()
_decode_text = msgspec.json.Decoder(str).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode


def read(envelope_headers: dict[str, Raw]) -> SpanContext | None:
    """Return the context that came with a message.

    None where there is none or it is invalid: the trace is then begun anew (W3C Trace Context, section 3.2). An invalid
    `tracestate` is dropped alone.
    """
    parent = _text(envelope_headers.get(headers.TRACEPARENT))
    return None if parent is None else _parsed(parent, _text(envelope_headers.get(headers.TRACESTATE)))


def write(envelope_headers: dict[str, Raw], context: SpanContext) -> dict[str, Raw]:
    """Return a copy of the headers with `context` as their trace context."""
    written = dict(envelope_headers)
    written[headers.TRACEPARENT] = raw(traceparent(context))
    if context.trace_state:
        written[headers.TRACESTATE] = raw(context.trace_state.to_header())
    else:
        written.pop(headers.TRACESTATE, None)
    return written


def previous(envelope_headers: dict[str, Raw]) -> SpanContext | None:
    """Return the context of the attempt before this one, or None."""
    text = _text(envelope_headers.get(headers.TRACE_PREVIOUS))
    return None if text is None else _parsed(text, None)


def links(envelope_headers: dict[str, Raw]) -> list[SpanContext]:
    """Return the contexts that header `x-asya-trace-links` names; what cannot be read is left out."""
    value = envelope_headers.get(headers.TRACE_LINKS)
    if value is None:
        return []
    try:
        texts = _decode_texts(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []
    return [found for text in texts[:LINKS_LIMIT] if (found := _parsed(text, None)) is not None]


def of_task(envelope_id: str) -> tuple[int, int]:
    """Return trace id and root span id for a message that brought no context.

    A function of the message's id, so that what the broker delivers twice is one trace and not two.
    """
    digest = hashlib.sha256(b"asya/trace/" + envelope_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1


def root(envelope_id: str, *, sampled: bool) -> SpanContext:
    """Return the context of the span that stands for the making of such a message."""
    trace_id, span_id = of_task(envelope_id)
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


def traceparent(context: SpanContext) -> str:
    """Write the header's value."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def _parsed(parent: str, state: str | None) -> SpanContext | None:
    carrier = {"traceparent": parent} if state is None else {"traceparent": parent, "tracestate": state}
    nothing = set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))
    found = get_current_span(_w3c.extract(carrier, nothing)).get_span_context()
    return found if found.is_valid else None


def _text(value: Raw | None) -> str | None:
    if value is None:
        return None
    try:
        return _decode_text(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None  # a header of another type is no trace context
