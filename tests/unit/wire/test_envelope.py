"""Reading and writing envelopes: what survives, what is refused, and that the two agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asya.errors import WireError
from asya.wire import Raw, child_id, content_id, decode, encode, format_time, new_envelope, new_id, parse_time, raw

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
names = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
statuses = st.fixed_dictionaries(
    {"phase": st.sampled_from(["pending", "retrying", "failed"])},
    optional={
        "actor": names,
        "attempt": st.integers(1, 10**6),
        "created_at": st.just("2026-01-02T03:04:05Z"),
        "deadline_at": st.just("2026-01-02T03:04:05.678Z"),
        "their_field": json_values,
    },
)
envelopes = st.fixed_dictionaries(
    {
        "id": st.text(min_size=1).filter(lambda text: text.isprintable()),
        "route": st.fixed_dictionaries(
            {"prev": st.lists(names, max_size=3), "curr": names, "next": st.lists(names, max_size=3)},
            optional={"their_field": json_values},
        ),
        "payload": json_values,
    },
    optional={
        "parent_id": st.none() | st.text(),
        "headers": st.dictionaries(st.text().filter(lambda name: name != "x-asya-hop"), json_values, max_size=3),
        "status": statuses,
        "flow": st.dictionaries(st.text(), json_values, max_size=3),
        "their_field": json_values,
    },
)


def written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


FATES = ("read", "unparsable", "no-id")


def fate(body: bytes) -> str:
    """What reading these bytes comes to; anything but a WireError gets through and fails the test."""
    try:
        decode(body)
    except WireError as error:
        return error.kind
    return "read"


def without_defaults(wire: dict[str, Any]) -> dict[str, Any]:
    """Absent and null are the same for optional fields; status defaults are written out."""
    kept = {name: value for name, value in wire.items() if value is not None or name in ("payload", "their_field")}
    if kept.get("headers") == {}:
        del kept["headers"]
    if "status" in kept:
        kept["status"] = {"actor": "", "attempt": 1, "max_attempts": 0, **kept["status"]}
    return kept


@given(envelopes)
def test_what_is_read_is_written_again_unknown_fields_included(wire: dict[str, Any]) -> None:
    body = written(wire)
    assert without_defaults(json.loads(encode(decode(body)))) == without_defaults(json.loads(body))


@given(envelopes)
def test_payload_bytes_are_untouched(wire: dict[str, Any]) -> None:
    payload = json.dumps(wire["payload"], indent=3, ensure_ascii=True).encode()
    rest = json.dumps({name: value for name, value in wire.items() if name != "payload"}).encode()
    body = rest[:-1] + b', "payload": ' + payload + b"}"
    envelope = decode(body)
    assert bytes(envelope.payload) == payload
    if envelope.extra is None:
        assert payload in encode(envelope)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    assert fate(body) in FATES


@given(envelopes, st.data())
def test_damaged_envelopes_are_read_or_refused(wire: dict[str, Any], data: st.DataObject) -> None:
    body = bytearray(written(wire))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert fate(bytes(body)) in FATES


def test_numbers_keep_their_spelling() -> None:
    body = b'{"id":"a","route":{"curr":"b"},"headers":{"n":1.10,"big":123456789012345678901234567890},"payload":1e400}'
    text = encode(decode(body))
    for spelling in (b"1.10", b"123456789012345678901234567890", b"1e400"):
        assert spelling in text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 1),
        ("route", None),
        ("route", {"curr": "b", "next": "c"}),
        ("route", {"next": []}),
        ("headers", []),
        ("status", {"attempt": "1"}),
        ("status", {"phase": "done"}),
        ("status", {"deadline_at": "2026-01-01T00:00:00"}),
        ("parent_id", 5),
    ],
)
def test_a_wrong_type_is_refused(field: str, value: Any) -> None:
    with pytest.raises(WireError):
        decode(written({"id": "a", "route": {"curr": "b"}, "payload": 1, field: value}))


def test_null_stands_for_absent() -> None:
    envelope = decode(b'{"id":"a","route":{"curr":"b"},"headers":null,"status":null,"parent_id":null,"payload":null}')
    assert (envelope.headers, envelope.status, envelope.parent_id) == ({}, None, None)


def test_a_new_envelope_stands_before_its_first_actor() -> None:
    envelope = new_envelope(["a", "b"], raw({"n": 1}), now=1_800_000_000.123, deadline_at=1_800_000_060.5)
    wire = json.loads(encode(envelope))
    assert wire["route"] == {"prev": [], "curr": "a", "next": ["b"]}
    assert wire["status"]["created_at"] == "2027-01-15T08:00:00.123Z"
    assert wire["status"]["deadline_at"] == "2027-01-15T08:01:00.500Z"
    assert envelope.deadline_at == 1_800_000_060.5


def test_child_ids_are_a_function_of_their_origin() -> None:
    ids = {child_id("p", "a", 3, 1), child_id("p", "a", 3, 2), child_id("p", "a", 4, 1), child_id("p", "b", 3, 1)}
    assert len(ids) == 4
    assert child_id("p", "a", 3, 1) == child_id("p", "a", 3, 1)
    # RFC 9562: version 5, variant 10.
    assert all(text[14] == "5" and text[19] in "89ab" for text in ids)
    assert content_id(b"x") != content_id(b"y")


def test_new_ids_are_random_uuids() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(text) == 36 and text[14] == "4" and text[19] in "89ab" for text in ids)


@given(st.floats(0, 4_000_000_000))
def test_times_survive_to_the_millisecond(seconds: float) -> None:
    assert abs(parse_time(format_time(seconds)) - seconds) <= 0.0011


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00", "2026-01-02T03:04:05.000000Z"])
def test_foreign_spellings_of_a_time_are_read(text: str) -> None:
    assert parse_time(text) == 1767323045.0


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59", "", "now", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        parse_time(text)


def test_raw_is_written_as_it_is() -> None:
    assert bytes(raw({"a": [1, "é"]})) == '{"a":[1,"é"]}'.encode()
    assert isinstance(raw(None), Raw)
