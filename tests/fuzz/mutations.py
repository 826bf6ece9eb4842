"""Inputs that are nearly right: valid ones with something wrong in their bytes, their values or their structure."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from asya_sidecar.link import frames

ID = "0190a7c2-0000-7000-8000-000000000001"
_ENVELOPES: list[dict[str, Any]] = [
    {"id": ID, "route": {"prev": [], "curr": "me", "next": ["b", "c"]}, "payload": {"n": [1, 2.5, "ü"], "d": {}}},
    {
        "id": ID,
        "parent_id": "parent",
        "route": {"prev": ["z"], "curr": "me", "next": []},
        "headers": {
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate": "vendor=1,other=2",
            "x-asya-hop": 3,
            "x-asya-first-attempt": "2026-01-01T00:00:00.000Z",
            "x-asya-gateway-url": "http://gateway:8080/base",
            "x-asya-mesh-status": "on",
            "x-asya-route-override": {"b": "c", "me": "me2"},
            "x-asya-route-resolved": {"me": {"target": "me", "by": "z"}},
            "x-asya-trace-links": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            "x-asya-pause": {"prompt": "?"},
            "mine": [1.5, {"x": None}],
        },
        "payload": [1, "two", {"three": 3}],
        "status": {
            "phase": "retrying", "actor": "me", "attempt": 2, "max_attempts": 3,
            "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:01.000Z",
            "deadline_at": "2099-01-01T00:00:00.000Z",
            "error": {"type": "ValueError", "message": "no", "mro": ["Exception"], "traceback": "…"},
        },
        "unknown": {"kept": [1]},
    },
    {"id": ID, "route": {"curr": "me"}, "payload": "text", "status": None, "headers": None, "flow": {"node": 1}},
    {
        "id": ID, "route": {"prev": ["x-sink"], "curr": "me", "next": ["x-sink"]}, "payload": 0,
        "status": {"phase": "failed"},
    },
]  # fmt: skip
_TEXT: dict[str, str] = {  # stand-ins for what `json.dumps` does not write
    "@huge@": "1e400",
    "@long@": "9" * 400,
    "@minus-zero@": "-0",
    "@half@": '"\\ud800"',
    "@other-half@": '"\\udc00x"',
    "@nul@": '"\\u0000"',
    "@deep@": "[" * 3000 + "]" * 3000,
    "@deep-object@": '{"a":' * 3000 + "1" + "}" * 3000,
    "@nan@": "NaN",
    "@infinity@": "-Infinity",
}
_VALUES: tuple[Any, ...] = (
    *_TEXT, None, True, False, 0, -1, 1.5, 2**63, 2**70, -(2**63), "", "x" * 5000, "x-sink", "me", [], {}, [[]],
    {"": ""}, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "2026-01-01", "2026-13-01T00:00:00Z", "1e3",
    "http://[::1", "http://h:99999/", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", ["a"] * 1200, {"me": 1}, {"me": ["x"]},
    {"b": ""}, "\u2028",
)  # fmt: skip
_SNIPPETS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"\\",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"null",
    b"\\ud800",
    b"1e9",
)


def envelope(chance: random.Random) -> bytes:
    """Return the bytes of something like an envelope."""
    value = json.loads(json.dumps(chance.choice(_ENVELOPES)))
    for _ in range(chance.choice((0, 1, 1, 2))):
        _change(chance, value)
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    for stand_in, written in _TEXT.items():
        text = text.replace(f'"{stand_in}"', written)
    if chance.random() < 0.1:
        text = _repeat_a_key(chance, text)
    data = text.encode("utf-8", "surrogatepass")
    return octets(chance, data) if chance.random() < 0.4 else data


def octets(chance: random.Random, data: bytes) -> bytes:
    """Return `data` with some of its bytes flipped, gone, repeated, or others put between."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.choice((1, 1, 2, 8, 100)))
        data = chance.choice(_OCTETS)(chance, data[:at], data[at:to], data[to:])
    return data


def _flip(chance: random.Random, found: bytes) -> bytes:
    return bytes(byte ^ (1 << chance.randrange(8)) for byte in found)


_OCTETS: tuple[Callable[[random.Random, bytes, bytes, bytes], bytes], ...] = (
    lambda chance, before, found, after: before + _flip(chance, found) + after,
    lambda _, before, __, after: before + after,
    lambda _, before, found, after: before + found + found + after,
    lambda _, before, __, ___: before,
    lambda _, __, found, after: found + after,
    lambda chance, before, found, after: before + chance.choice(_SNIPPETS) + found + after,
    lambda chance, before, _, after: before + chance.randbytes(chance.randrange(1, 9)) + after,
)


def _change(chance: random.Random, value: Any) -> None:
    """Put something else somewhere in a JSON value."""
    places = list(_places(value))
    inside, key = chance.choice(places)
    action = chance.random()
    if action < 0.65:
        inside[key] = chance.choice(_VALUES)
    elif action < 0.8:
        del inside[key]
    elif isinstance(inside, dict):
        inside[chance.choice(("id", "x-asya-hop", "status", "é", "", "@half@"))] = chance.choice(_VALUES)
    else:
        inside.append(chance.choice(_VALUES))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Walk through a JSON value, however deep it is."""
    todo = [value]
    while todo:
        inside = todo.pop()
        for key in list(inside) if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ():
            yield inside, key
            todo.append(inside[key])


def _repeat_a_key(chance: random.Random, text: str) -> str:
    keys = [key for key in ('"id":', '"route":', '"payload":', '"headers":', '"curr":', '"status":') if key in text]
    if not keys:
        return text
    key = chance.choice(keys)
    return text.replace(key, f"{key} {json.dumps(chance.choice(('twice', None, {}, [], 1)))}, {key}", 1)


def stream(chance: random.Random) -> bytes:
    """Return what a runtime may send after it has introduced itself, nearly right."""
    parts = [_frame(chance) for _ in range(chance.randrange(1, 8))]
    data = b"".join(parts)
    return octets(chance, data) if chance.random() < 0.5 else data


def _frame(chance: random.Random) -> bytes:
    kind = chance.choice(sorted(frames.KNOWN))
    call = chance.choice((1, 1, 2, 3, 0, 9, 2**32 - 1))
    changes = chance.choice(
        (b"", b"{}", b'{"next": ["b"]}', b'{"next": ["x-sink"]}', b'{"headers": {}}', b"[", b"\xff")
    )
    result = (
        len(changes).to_bytes(4, "big") + changes + chance.choice((b"1", b'{"a": 1}', b"", b"nan", b"\xff", b"{" * 900))
    )
    error = chance.choice(
        (
            b'{"type": "ValueError"}',
            b'{"type": 1}',
            b"{}",
            b"[]",
            b"\xff",
            b'{"type": "\xff"}',
            b'{"type": "E", "retry_after": 1e300}',
        )
    )
    bodies = {
        frames.RESULT: result,
        frames.CHUNK: result,
        frames.ERROR: error,
        frames.FAILED: error,
        frames.HELLO: b'{"protocol": 1, "role": "worker", "pid": 1, "credit": 2}',
        frames.FLY: b'{"x": 1}',
    }
    body = bodies.get(kind, chance.choice((b"", b"x", result)))
    return frames.frame(kind, call, body)
