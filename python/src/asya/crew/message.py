"""A whole message as a crew handler sees it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypedDict

Json = Any
"""Any JSON value. What a message carries is the user's; the crew only writes it down."""


class Route(TypedDict):
    """Actors done, the one whose turn it is, those to come."""

    prev: list[str]
    curr: str
    next: list[str]


class Message(TypedDict):
    """The envelope's fields that a handler can reach."""

    id: str
    parent_id: str | None
    route: Route
    headers: dict[str, Json]
    status: dict[str, Json]
    payload: Json


Read = Generator[tuple[str, ...], Json, Message]


def read_message(payload: Json) -> Read:
    """Ask the runtime for everything around `payload`; use with ``yield from``.

    Source: the handler's yield protocol, verb GET.
    """
    return Message(
        id=(yield "GET", ".id"),
        parent_id=(yield "GET", ".parent_id"),
        route=Route(
            prev=(yield "GET", ".route.prev"),
            curr=(yield "GET", ".route.curr"),
            next=(yield "GET", ".route.next"),
        ),
        headers=(yield "GET", ".headers") or {},
        status=(yield "GET", ".status") or {},
        payload=payload,
    )
