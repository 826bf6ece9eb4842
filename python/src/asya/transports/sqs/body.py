"""Between a message's bytes and what SQS takes: text of certain characters, and attributes beside it. Pure.

A body that is such text, as every envelope is that was made here, goes as it is, so that others can read it. What is
not, or is empty, goes as base64 and says so in an attribute.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asya.errors import TransportError

ENCODING, DUE, CLAIM, REASON, ATTEMPTS = "asya.encoding", "asya.due", "asya.claim", "asya.reason", "asya.attempts"
ASKED_FOR: Final = [ENCODING, DUE, CLAIM]
OF_THE_DEAD: Final = [*ASKED_FOR, REASON, ATTEMPTS]
"""What is asked for of dead letters."""
_BASE64: Final = "base64"
# SQS takes what XML 1.0 takes, section 2.2.
_REFUSED: Final = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_TYPE: Final = "String"


@dataclass(frozen=True, slots=True)
class Text:
    """One message as SQS takes it. `attributes` are strings by name."""

    text: str
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that count towards SQS's limit: the body, and names, types and values of the attributes."""
        beside = sum(len(name) + len(_TYPE) + len(value.encode()) for name, value in self.attributes.items())
        return (len(self.text) if self.text.isascii() else len(self.text.encode())) + beside

    def having(self, attributes: Mapping[str, str]) -> Text:
        """Return the same with more attributes."""
        return Text(self.text, {**self.attributes, **attributes})

    def entry(self) -> dict[str, Any]:
        """Return the part of a batch's entry that says what is sent."""
        found: dict[str, Any] = {"MessageBody": self.text}
        if self.attributes:
            found["MessageAttributes"] = {
                name: {"DataType": _TYPE, "StringValue": value} for name, value in self.attributes.items()
            }
        return found


def encode(body: bytes) -> Text:
    """Return the text for these bytes."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    # Only control characters and two others are refused, and printable ASCII has none of them.
    if text and ((text.isascii() and text.isprintable()) or _REFUSED.search(text) is None):
        return Text(text)
    return Text(base64.b64encode(body).decode() or "=", {ENCODING: _BASE64})


def decode(text: str, attributes: Mapping[str, str]) -> bytes:
    """Return the bytes that were sent.

    Raises:
        TransportError: The message says that it is base64 and is not.
    """
    if attributes.get(ENCODING) != _BASE64:
        return text.encode()
    if text == "=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise TransportError(f"a message says it is base64, and is not: {error}") from None


def attributes_of(message: Mapping[str, Any]) -> dict[str, str]:
    """Return a received message's attributes as strings by name."""
    found: Mapping[str, Any] = message.get("MessageAttributes") or {}
    return {name: value["StringValue"] for name, value in found.items() if "StringValue" in value}
