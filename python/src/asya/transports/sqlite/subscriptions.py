"""Who receives in this process, and what each transaction hands to them. Used on the writer's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from asya.errors import LeaseLostError
from asya.transports.base import Delivery, Settle
from asya.transports.sqlite.store import Claim, Lease, Posting, Store
from asya.transports.sqlite.wake import Ringer


@dataclass(slots=True, eq=False)
class Subscription:
    """One consumer of one queue.

    `handed` counts what `on_delivery` got and has not settled (the loop's view), `out` what is leased in the database
    (the writer's view; ahead of the loop's while a transaction is on its way). `look` asks for a look at the queue as
    soon as there is credit; either side may set it, only the writer clears it, before it looks.
    """

    actor: str
    queue: str
    credit: int
    on_delivery: Callable[[Delivery], None]
    closed: bool = False
    handed: int = 0
    out: int = 0
    look: bool = True


class Held(NamedTuple):
    """A delivery's token."""

    subscription: Subscription
    lease: Lease


@dataclass(slots=True)
class Handed:
    """What one transaction means for the consumers.

    `freed`: one entry per settled delivery. `next_look`: in how many seconds a queue with nothing to hand out should be
    looked at again; None where every consumer got what it asked for.
    """

    freed: list[Subscription] = field(default_factory=list)
    claims: list[tuple[Subscription, list[Claim]]] = field(default_factory=list)
    next_look: float | None = None

    def look_in(self, seconds: float) -> None:
        """Note a time to look again; the earliest counts."""
        self.next_look = seconds if self.next_look is None else min(self.next_look, seconds)


class Subscriptions:
    """The consumers of one transport. `active` is changed by the loop, everything else by the writer."""

    def __init__(self, ringer: Ringer, lease_seconds: float, recheck_seconds: float) -> None:
        self.active: list[Subscription] = []
        self._ringer = ringer
        self._lease_seconds = lease_seconds
        self._recheck_seconds = recheck_seconds
        self._held: set[Lease] = set()
        self._freed: list[tuple[Subscription, Lease]] = []

    def settle(self, store: Store, held: Held, postings: Sequence[Posting], settle: Settle, reason: str) -> None:
        """Publish and settle; a lease that was lost is no longer out either."""
        try:
            store.complete(held.lease, postings, settle, reason)
        except LeaseLostError:
            self._free(held)
            raise
        self._free(held)

    def give_back(self, store: Store, held: Held) -> None:
        """Release a message that was claimed but not handed over, because credit was withdrawn meanwhile."""
        if held.lease in self._held:
            self._held.discard(held.lease)
            held.subscription.out -= 1
            store.release_all([held.lease])

    def give_back_all(self, store: Store) -> None:
        """Release everything that is not settled."""
        store.release_all(self._held)
        self._held.clear()

    def look(self, store: Store) -> Handed | None:
        """See by reading alone whether anything can be handed out; None: yes, so a transaction is worth it."""
        handed = Handed()
        now = store.clock.now()
        for subscription in tuple(self.active):
            if not subscription.look or subscription.credit <= subscription.out:
                continue
            subscription.look = False
            due = store.next_due(subscription.queue)
            if due is not None and due <= now:
                subscription.look = True
                return None
            self._look_later(handed, due, now)
        return handed

    def claim(self, store: Store) -> Handed:
        """Hand out messages within the transaction."""
        handed = Handed(freed=[subscription for subscription, _ in self._freed])
        for subscription in tuple(self.active):
            wanted = subscription.credit - subscription.out
            if wanted <= 0 or not (subscription.look or subscription.queue in store.touched):
                subscription.look = subscription.look or subscription.queue in store.touched
                continue
            subscription.look = False
            claims = store.claim(subscription.queue, wanted, self._lease_seconds)
            if claims:
                handed.claims.append((subscription, claims))
            if len(claims) == wanted:
                subscription.look = True
            else:
                self._look_later(handed, store.next_due(subscription.queue), store.clock.now())
        return handed

    def committed(self, store: Store, handed: Handed) -> None:
        """Count what is out now, and wake other processes."""
        self._freed.clear()
        for subscription, claims in handed.claims:
            subscription.out += len(claims)
            self._held.update(claim.lease for claim in claims)
        if store.touched:
            self._ringer.ring(store.touched)

    def rolled_back(self) -> None:
        """Nothing happened: what was settled is held again, and every queue is worth a look."""
        for subscription, lease in self._freed:
            subscription.out += 1
            self._held.add(lease)
        self._freed.clear()
        for subscription in tuple(self.active):
            subscription.look = True

    def _free(self, held: Held) -> None:
        if held.lease in self._held:
            self._held.discard(held.lease)
            held.subscription.out -= 1
            self._freed.append((held.subscription, held.lease))

    def _look_later(self, handed: Handed, due: float | None, now: float) -> None:
        left = self._recheck_seconds if due is None else max(0.0, due - now)
        handed.look_in(min(left, self._recheck_seconds))
