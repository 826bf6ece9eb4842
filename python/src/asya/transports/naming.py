"""Every name at a broker is made here.

The default `asya_<namespace>_<actor>` is unambiguous because neither part may hold an underscore (both are DNS labels).
The public project's `asya-<namespace>-<actor>` is offered for moving queue by queue; `asya-a-b-c` means two things, so
two actors that would share a name are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from asya.errors import TransportError
from asya.policy.naming import TERMINAL_ACTORS, pubsub_delayed

Style = Literal["underscore", "dash"]
DELAYS = "asya.delay"
"""First part of the names of what delays messages, for all namespaces; the dot keeps it apart from every queue."""


@dataclass(frozen=True, slots=True)
class QueueNames:
    """Names of one namespace's queues and exchanges; `crew` is the namespace of x-sink and x-sump, if another one."""

    namespace: str
    style: Style = "underscore"
    crew: str | None = None

    def queue(self, actor: str) -> str:
        """Name of an actor's queue."""
        return self._join(self.home(actor), actor)

    def home(self, actor: str) -> str:
        """Namespace that an actor's queue is in."""
        return self.crew if self.crew is not None and actor in TERMINAL_ACTORS else self.namespace

    def dead_letters(self, actor: str) -> str:
        """Name of an actor's dead-letter queue."""
        return self.queue(actor) + self.separator + "dlq"

    def delayed(self, actor: str) -> str:
        """Name of what holds an actor's delayed messages on Pub/Sub."""
        return pubsub_delayed(self.queue(actor))

    @property
    def exchange(self) -> str:
        """Name of the namespace's exchange; the routing key is the actor's name."""
        return self._join(self.namespace)

    def refuse_collisions(self, actors: Iterable[str]) -> None:
        """Raise `TransportError` when two of the names made for `actors` are the same."""
        seen: dict[str, str] = {}
        for actor in actors:
            for name in (self.queue(actor), self.dead_letters(actor)):
                other = seen.setdefault(name, actor)
                if other != actor:
                    raise TransportError(f"actors {other!r} and {actor!r} would share the queue {name!r}; rename one")

    @property
    def separator(self) -> str:
        """What stands between the parts of a name."""
        return "_" if self.style == "underscore" else "-"

    def _join(self, *parts: str) -> str:
        return self.separator.join(("asya", *parts))
