"""Trace context in headers, as W3C Trace Context says what is valid."""

from __future__ import annotations

import pytest
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from asya.wire import Raw, raw
from asya_sidecar.tracing import context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (GOOD, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # further flags are not for us to judge
        (f"cc-{TRACE}-{SPAN}-01", True),  # a later version, read as far as it is known
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_a_valid_context_goes_on(header: str, sampled: bool) -> None:
    found = context.read({"traceparent": raw(header)})
    assert found is not None
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_flags.sampled) == (TRACE, SPAN, sampled)
    assert found.is_remote


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
    ],
)
def test_an_invalid_one_begins_the_trace_anew(header: str) -> None:
    assert context.read({"traceparent": raw(header), "tracestate": raw("vendor=1")}) is None


@pytest.mark.parametrize("value", [b"1", b"null", b"{}", b'["00-a"]', b'"\\ud800"'])
def test_a_header_of_another_type_is_none(value: bytes) -> None:
    assert context.read({"traceparent": Raw(value)}) is None
    assert context.previous({"x-asya-trace-previous": Raw(value)}) is None


def test_state_alone_is_no_context() -> None:
    assert context.read({"tracestate": raw("vendor=1")}) is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("a=1,b=2", "a=1,b=2"),
        ("a=1,,b=2", "a=1,b=2"),
        ("a=1 , b=2", "a=1,b=2"),
        ("tenant@vendor=1", "tenant@vendor=1"),
        ("A=1", ""),
        ("a", ""),
        ("a=1,a=2", ""),
        (",".join(f"k{number}=1" for number in range(33)), ""),
    ],
)
def test_an_invalid_state_is_dropped_alone(state: str, kept: str) -> None:
    found = context.read({"traceparent": raw(GOOD), "tracestate": raw(state)})
    assert found is not None
    assert found.trace_state.to_header() == kept


def test_writing_leaves_the_rest_and_the_original() -> None:
    before = {"tenant": raw("t"), "traceparent": raw("old"), "tracestate": raw("old=1")}
    kept = dict(before)
    ours = SpanContext(int(TRACE, 16), int(SPAN, 16), is_remote=False, trace_flags=TraceFlags(1))
    assert context.write(before, ours) == {"tenant": raw("t"), "traceparent": raw(GOOD)}
    assert before == kept
    with_state = SpanContext(1, 2, is_remote=False, trace_state=TraceState([("a", "1"), ("b", "2")]))
    assert context.write({}, with_state) == {
        "traceparent": raw(f"00-{1:032x}-{2:016x}-00"),
        "tracestate": raw("a=1,b=2"),
    }


def test_a_task_without_context_has_one_trace_however_often_it_comes() -> None:
    assert context.root("task", sampled=True) == context.root("task", sampled=True)
    assert context.root("task", sampled=True).trace_id != context.root("other", sampled=True).trace_id
    assert context.root("lone \ud800", sampled=False).is_valid


def test_links_that_cannot_be_read_are_left_out() -> None:
    texts = [GOOD, "no", f"00-{TRACE}-{'1' * 16}-01"]
    found = context.links({"x-asya-trace-links": raw(texts)})
    assert [f"{each.span_id:016x}" for each in found] == [SPAN, "1" * 16]
    assert context.links({"x-asya-trace-links": raw("text")}) == []
    assert len(context.links({"x-asya-trace-links": raw([GOOD] * 1000)})) == context.LINKS_LIMIT
