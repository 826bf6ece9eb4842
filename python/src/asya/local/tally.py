"""What the supervisor did, counted: plain numbers that cost nothing while nobody asks for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts since the start of `asya up`; none ever goes back."""

    restarts: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """By actor, replica and ``sidecar`` or ``runtime``: how often a process that ended by itself was started again."""
    scalings: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By actor and ``up`` or ``down``: how often the number of replicas was changed."""
