"""Many processes' metrics as one target whose counters never go back, though processes come and go.

A series has the labels `actor` and `replica` (its number). The next process with that number goes on where the last one
ended, and a number that nobody has at the moment keeps its counters, so that `rate` sees neither a reset nor a jump.
Gauges are gone with their process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric

_GROWING = frozenset({"counter", "histogram", "summary"})

_Series = tuple[str, tuple[tuple[str, str], ...]]
"""Sample name, and its labels in their order."""
Place = tuple[str, int]
"""Actor and replica number."""


@dataclass(slots=True)
class _Family:
    kind: str
    help: str


@dataclass(slots=True)
class _Counted:
    """What is known of one place: `pid` and `now` of the process that has it, `before` of those that had it."""

    pid: int | None = None
    now: dict[str, dict[_Series, float]] = field(default_factory=dict)
    before: dict[str, dict[_Series, float]] = field(default_factory=dict)


class Merged:
    """The sum of what was taken in. `namespace` and `actor` are set on series that lack them."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._families: dict[str, _Family] = {}
        self._places: dict[Place, _Counted] = {}

    def take(self, place: Place, pid: int, families: Iterable[Metric]) -> None:
        """Take in what process `pid`, which is at `place`, says now."""
        counted = self._places.setdefault(place, _Counted())
        if counted.pid != pid:
            self._fold(counted)
            counted.pid = pid
        counted.now = {}
        for family in families:
            known = self._families.setdefault(family.name, _Family(family.type, family.documentation))
            if known.kind != family.type:
                continue  # two versions of a sidecar disagree; one name can have one type
            counted.now[family.name] = {
                (sample.name, tuple(sample.labels.items())): sample.value
                for sample in family.samples
                if not sample.name.endswith("_created")
            }

    def keep_only(self, running: Mapping[Place, int]) -> None:
        """Take note of which processes there are; the counters of all others become part of the past."""
        for place, counted in self._places.items():
            if counted.pid is not None and running.get(place) != counted.pid:
                self._fold(counted)
                counted.pid = None

    def families(self) -> Iterator[Metric]:
        """Yield every family, its series in the order of actors and replicas."""
        for name in sorted(self._families):
            known = self._families[name]
            family = Metric(name, known.help, known.kind)
            for place in sorted(self._places):
                self._add(family, place, self._places[place])
            if family.samples:
                yield family

    def _add(self, family: Metric, place: Place, counted: _Counted) -> None:
        actor, replica = place
        before, now = counted.before.get(family.name, {}), counted.now.get(family.name, {})
        for series in before | now:
            name, labels = series
            own = {"namespace": self._namespace, "actor": actor} | dict(labels) | {"replica": str(replica)}
            family.add_sample(name, own, before.get(series, 0.0) + now.get(series, 0.0))

    def _fold(self, counted: _Counted) -> None:
        for name, samples in counted.now.items():
            if self._families[name].kind in _GROWING:
                total = counted.before.setdefault(name, {})
                for series, value in samples.items():
                    total[series] = total.get(series, 0.0) + value
        counted.now = {}
