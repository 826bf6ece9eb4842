"""The envelope: one message with its route.

Shape (UTF-8 JSON object; wire-compatible with the public project's protocol)::

    {"id": str, "parent_id": str?, "route": {"prev": [str], "curr": str, "next": [str]}, "headers": {str: any}?,
     "payload": any, "status": {"phase": ..., "attempt": int, "deadline_at": RFC 3339, ...}?, "flow": object?}

The payload and every header stay the bytes they came as. Fields that this version does not know, at the top and inside
`route` and `status`, are kept and written back.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from asya.errors import WireError
from asya.wire import headers as names
from asya.wire.clock import format_time, parse_time
from asya.wire.ids import new_id

Raw = msgspec.Raw
Phase = Literal["pending", "processing", "retrying", "succeeded", "failed", "paused", "canceled"]

NULL = Raw(b"null")
_LARGE = 65_536
"""Bytes of a payload that is large."""
_KEPT = 16 * 1024 * 1024
"""Largest envelope whose memory is kept for the next one."""
_block = bytearray()
"""Where large envelopes are written, one at a time."""
# Stands for "absent": msgspec cannot tell Raw from None by type.
NO_FLOW = Raw(b"")


class Route(msgspec.Struct, forbid_unknown_fields=True):
    """Actors done, the one whose turn it is (`""` = end of route), and those to come."""

    curr: str
    prev: list[str] = []
    next: list[str] = []


class ErrorInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What went wrong. `mro` names the base classes of `type`, without `object` and `BaseException`."""

    type: str = ""
    message: str = ""
    mro: list[str] = []
    traceback: str = ""


def _always(value: Any) -> Any:  # noqa: ANN401  msgspec's own field() is typed so
    """Make a default that is written all the same: readers of the public protocol expect these fields."""
    return msgspec.field(default_factory=lambda: value)


class Status(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where the message stands. Times are RFC 3339; `attempt` is 1-based; `max_attempts` 0 until a policy is matched.

    `partial` counts results that had been published when a streaming handler failed for good.
    """

    phase: Phase = _always("pending")
    reason: str | None = None
    actor: str = _always("")
    attempt: int = _always(1)
    max_attempts: int = _always(0)
    created_at: str = ""
    updated_at: str = ""
    deadline_at: str | None = None
    error: ErrorInfo | None = None
    partial: int | None = None


class Envelope(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One message. Raw fields hold JSON text; `flow` is reserved for compiled flows and passes untouched."""

    id: str
    parent_id: str | None = None
    route: Route
    headers: dict[str, Raw] = {}
    payload: Raw
    status: Status | None = None
    flow: Raw = NO_FLOW
    # Unknown fields: empty for nearly every message, so they cost the common path nothing.
    extra: Unknown | None = None

    @property
    def hop(self) -> int:
        """How many actors have handled this message, from its header; 0 when the header is absent."""
        value = self.headers.get(names.HOP)
        return 0 if value is None else int(bytes(value))

    @property
    def deadline_at(self) -> float | None:
        """The deadline in Unix seconds, or None."""
        if self.status is None or self.status.deadline_at is None:
            return None
        return parse_time(self.status.deadline_at)


class Unknown(msgspec.Struct):
    """Fields that this version does not know, as JSON text, by where they stood."""

    top: dict[str, Raw] = {}
    route: dict[str, Raw] = {}
    status: dict[str, Raw] = {}


class _Wire(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The envelope as it is read: payload must be there, null stands for absent in optional fields."""

    id: str = ""
    parent_id: str | None = None
    route: Route
    headers: dict[str, Raw] | None = None
    payload: Raw = NULL
    status: Status | None = None
    flow: Raw = NO_FLOW


_decode_wire = msgspec.json.Decoder(_Wire).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_encoder = msgspec.json.Encoder()
LARGEST_HOP = 999_999_999
"""The hop counter stops here, far beyond any limit, so that what was written can be read again."""
_HOP_DIGITS = len(str(LARGEST_HOP))
_KNOWN_TOP = frozenset(_Wire.__struct_fields__)
_KNOWN_ROUTE = frozenset(Route.__struct_fields__)
_KNOWN_STATUS = frozenset(Status.__struct_fields__)


def raw(value: Any) -> Raw:  # noqa: ANN401  any JSON value
    """Return `value` as JSON text that can stand in an envelope."""
    return Raw(_encoder.encode(value))


def decode(body: bytes, *, fallback_id: str = "") -> Envelope:
    """Read one envelope from the bytes of a message; `fallback_id` stands in for an id that is missing or empty.

    Raises:
        WireError: `kind` "unparsable" (not UTF-8, not JSON, nested too deep, no envelope, a malformed deadline or hop)
            or "no-id" (an envelope whose id is missing or empty).
    """
    # msgspec checks the encoding only of what it decodes; the payload is passed through unread.
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise WireError(f"not UTF-8 (byte {error.start})") from None
    extra = None
    try:
        try:
            wire = _decode_wire(body)
        except msgspec.ValidationError:
            wire, extra = _decode_with_unknown(body)
    except msgspec.MsgspecError as error:
        raise WireError(f"no envelope: {error}") from None
    except UnicodeDecodeError as error:
        raise WireError(f"no envelope: {error}") from None
    except RecursionError:
        raise WireError("nested too deep") from None
    if not (wire.id or fallback_id):
        raise WireError("the envelope has no id", kind="no-id")
    headers = wire.headers or {}
    envelope = Envelope(
        id=wire.id or fallback_id,
        parent_id=wire.parent_id,
        route=wire.route,
        headers=headers,
        payload=wire.payload,
        status=wire.status,
        flow=wire.flow,
        extra=extra,
    )
    _check(envelope)
    return envelope


def encode(envelope: Envelope) -> bytes:
    """Write `envelope` as UTF-8 JSON around its payload's bytes.

    Raises:
        ValueError: A string holds a lone surrogate and cannot be written as UTF-8.
    """
    extra = envelope.extra
    written = envelope if extra is None else _with_unknown(envelope, extra)
    size = memoryview(envelope.payload).nbytes
    if size < _LARGE:
        return _encoder.encode(written)
    # The encoder's own block would grow to half as much again and be cut back, which leaves holes in the memory that no
    # other message fits in.
    _encoder.encode_into(written, _block)
    text = bytes(_block)
    if len(text) > _KEPT:
        _block.clear()
    return text


def new_envelope(
    route: list[str],
    payload: Raw,
    *,
    now: float,
    envelope_id: str | None = None,
    headers: dict[str, Raw] | None = None,
    deadline_at: float | None = None,
) -> Envelope:
    """Make an envelope for its first actor, `route[0]`; `now` and `deadline_at` are Unix seconds, UTC."""
    created = format_time(now)
    status = Status(created_at=created, updated_at=created)
    if deadline_at is not None:
        status.deadline_at = format_time(deadline_at)
    return Envelope(
        id=envelope_id or new_id(),
        route=Route(curr=route[0], next=list(route[1:])),
        headers=headers or {},
        payload=payload,
        status=status,
    )


def _check(envelope: Envelope) -> None:
    """Refuse what later rows would stumble over; the values themselves stay text."""
    if envelope.status is not None and envelope.status.deadline_at is not None:
        parse_time(envelope.status.deadline_at)
    hop = envelope.headers.get(names.HOP)
    if hop is not None and not (bytes(hop).isdigit() and len(bytes(hop)) <= _HOP_DIGITS):
        raise WireError(f"header {names.HOP} is {bytes(hop)[:64]!r}, expected a whole number")


def _decode_with_unknown(body: bytes) -> tuple[_Wire, Unknown]:
    """Read an envelope that has fields this version does not know. Slower: every level is split first."""
    top = _decode_object(body)
    route = _object_at(top, "route")
    status = _object_at(top, "status")
    unknown = Unknown(
        top={name: top.pop(name) for name in list(top) if name not in _KNOWN_TOP},
        route={name: route.pop(name) for name in list(route) if name not in _KNOWN_ROUTE},
        status={name: status.pop(name) for name in list(status) if name not in _KNOWN_STATUS},
    )
    if route:
        top["route"] = raw(route)
    if status or unknown.status:
        top["status"] = raw(status)
    return _decode_wire(_encoder.encode(top)), unknown


def _object_at(top: dict[str, Raw], name: str) -> dict[str, Raw]:
    text = top.get(name)
    if text is None or not bytes(text).lstrip().startswith(b"{"):
        return {}  # absent, null or a wrong type: the strict decoder says which
    return _decode_object(text)


def _with_unknown(envelope: Envelope, extra: Unknown) -> dict[str, Any]:
    fields: dict[str, Any] = _decode_object(_encoder.encode(envelope))
    fields.pop("extra", None)
    if extra.route:
        fields["route"] = {**_decode_object(fields["route"]), **extra.route}
    if extra.status:
        fields["status"] = {**(_decode_object(fields["status"]) if "status" in fields else {}), **extra.status}
    return {**fields, **extra.top}
