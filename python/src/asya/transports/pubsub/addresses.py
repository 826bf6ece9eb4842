"""Full names of topics and subscriptions, as the API wants them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from asya.transports.naming import QueueNames


@dataclass(frozen=True, slots=True)
class Addresses:
    """One namespace's topics and subscriptions in one project; a subscription is called as its topic is."""

    project: str
    names: QueueNames

    def queue(self, actor: str) -> str:
        """Short name of what an actor receives from."""
        return self.names.queue(actor)

    def dead_letters(self, actor: str) -> str:
        """Short name of its dead letters."""
        return self.names.dead_letters(actor)

    def delayed(self, actor: str) -> str:
        """Short name of what waits for its time before it goes to the actor."""
        return self.names.delayed(actor)

    def topic(self, name: str) -> str:
        """Full name of a topic."""
        return f"projects/{self.project}/topics/{name}"

    def subscription(self, name: str) -> str:
        """Full name of a subscription."""
        return f"projects/{self.project}/subscriptions/{name}"

    def snapshot(self, name: str) -> str:
        """Full name of a snapshot."""
        return f"projects/{self.project}/snapshots/{name}"
