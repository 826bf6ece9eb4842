"""How many replicas an actor should have: a pure function of what was seen.

The fields mean what they mean to KEDA's ScaledObject and the HorizontalPodAutoscaler it drives. KEDA decides between
none and some (activation, cooldown); the HPA between one and many (queueLength, stabilisation). Left out: the HPA's
tolerance of 10 %, speed limits (`advanced.behavior`), formulas and additional triggers, which need a cluster.

Source: keda.sh/docs/2.17/concepts/scaling-deployments; kubernetes.io, Horizontal Pod Autoscaling, "Algorithm details".
"""

from __future__ import annotations

from dataclasses import dataclass

STABILIZATION_SECONDS = 5.0
"""How long fewer replicas must have been enough before some go (not the last one). The HPA's own is 300 s; on one
machine processes start in a moment, so waiting that long would only occupy memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """`spec.scaling` as far as it counts here; times in seconds."""

    min_replicas: int = 0
    max_replicas: int = 10
    idle_replicas: int | None = None
    queue_length: int = 5
    activation: int = 0
    polling_interval: float = 30.0
    cooldown: float = 300.0
    initial_cooldown: float = 0.0
    scale_on_in_flight: bool = True
    scale_on_delayed: bool = False
    fixed: int | None = None
    """Exactly this many: scaling is off, or paused at a number."""
    paused: bool = False
    """Leave the number as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the next decision needs to know of earlier ones; times on one monotonic clock, in seconds."""

    started_at: float
    last_active: float | None = None
    wishes: tuple[tuple[float, int], ...] = ()
    """(time, replicas wanted), oldest first, as far back as the stabilisation window goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many replicas there should be now, and what to remember."""

    replicas: int
    history: History


def backlog_of(scaling: Scaling, *, ready: int, in_flight: int, delayed: int) -> int:
    """Return what counts as backlog: always what is ready, the rest as the manifest says."""
    return ready + (in_flight if scaling.scale_on_in_flight else 0) + (delayed if scaling.scale_on_delayed else 0)


def desired(scaling: Scaling, history: History, *, backlog: int, current: int, now: float) -> Decision:
    """Decide from a `backlog` (messages) and the `current` number of replicas.

    - An actor that may go to zero wakes when there are more than `activation` messages (strictly), and sleeps when that
      was not so for `cooldown` seconds, but not within `initial_cooldown` of the start.
    - While awake (always, with a minimum above zero and no idle count) it has one replica for every `queue_length`
      messages begun, within its bounds; fewer only after fewer have been enough for `STABILIZATION_SECONDS`.
    """
    if scaling.fixed is not None:
        return Decision(replicas=scaling.fixed, history=history)
    if scaling.paused:
        return Decision(replicas=current, history=history)
    active = backlog > scaling.activation
    wish = min(max(-(-backlog // scaling.queue_length), scaling.min_replicas, 1), scaling.max_replicas)
    recent = tuple(entry for entry in history.wishes if entry[0] > now - STABILIZATION_SECONDS)
    remembered = History(
        started_at=history.started_at,
        last_active=now if active else history.last_active,
        wishes=(*recent, (now, wish)),
    )
    may_sleep = scaling.min_replicas == 0 or scaling.idle_replicas == 0
    if may_sleep and not active and (current == 0 or _cold(scaling, remembered, now)):
        return Decision(replicas=0, history=remembered)
    stable = max(number for _, number in remembered.wishes)
    return Decision(replicas=max(wish, min(stable, current)), history=remembered)


def _cold(scaling: Scaling, history: History, now: float) -> bool:
    """Tell whether the actor has been idle for long enough to lose its last replica."""
    if now - history.started_at < scaling.initial_cooldown:
        return False
    since = history.last_active if history.last_active is not None else history.started_at
    return now - since >= scaling.cooldown
