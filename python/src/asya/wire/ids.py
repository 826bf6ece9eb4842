"""Ids of envelopes. A child's id is a function of its origin, so a repeated call emits the same ids again."""

from __future__ import annotations

import hashlib
import os
from uuid import NAMESPACE_URL, uuid5

NAMESPACE = uuid5(NAMESPACE_URL, "https://asya.sh/envelope/v1")


def new_id() -> str:
    """Return a random UUID (version 4, RFC 9562 section 5.4)."""
    value = bytearray(os.urandom(16))
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    return _text(bytes(value))


def child_id(parent_id: str, actor: str, hop: int, index: int) -> str:
    """Return the UUIDv5 of result `index` (1-based) that `actor` emitted on hop number `hop` of `parent_id`.

    The name that is hashed is ``parent_id/actor/hop/index`` in UTF-8 (RFC 9562 section 5.5).
    """
    return _named(f"{parent_id}/{actor}/{hop}/{index}".encode("utf-8", "surrogatepass"))


def content_id(body: bytes) -> str:
    """Return the UUIDv5 of a message's bytes, for a message that brought no id of its own."""
    return _named(b"content/" + body)


def _named(name: bytes) -> str:
    value = bytearray(hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    value[6] = value[6] & 0x0F | 0x50
    value[8] = value[8] & 0x3F | 0x80
    return _text(bytes(value))


def _text(value: bytes) -> str:
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
