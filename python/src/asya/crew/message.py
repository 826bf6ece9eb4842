"""A whole message as a crew handler sees it."""

from __future__ import annotations

from typing import Any, Protocol, TypedDict

Json = Any
"""Any JSON value. What a message carries is the user's; the crew only writes it down."""


class ContextRoute(Protocol):
    """The route as the runtime's context shows it."""

    @property
    def prev(self) -> tuple[str, ...]:
        """Actors done."""

    @property
    def curr(self) -> str:
        """This actor."""

    next: list[str]


class Context(Protocol):
    """What the runtime hands to a handler that has a parameter called `context`.

    A shape and not an import: the runtime is one file of its own that no package of ours knows.
    """

    @property
    def id(self) -> str:
        """The message's id."""

    @property
    def parent_id(self) -> str | None:
        """The id of the message this one was made from."""

    @property
    def route(self) -> ContextRoute:
        """Where it was and where it goes."""

    @property
    def headers(self) -> dict[str, Json]:
        """Its headers."""

    @property
    def status(self) -> dict[str, Json]:
        """Where it stands."""


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


def read_message(payload: Json, context: Context) -> Message:
    """Put `payload` and everything around it together."""
    route = context.route
    return Message(
        id=context.id,
        parent_id=context.parent_id,
        route=Route(prev=list(route.prev), curr=route.curr, next=list(route.next)),
        headers=context.headers,
        status=context.status,
        payload=payload,
    )
