"""What handlers count with `prometheus_client` itself: the state of each worker's default registry, put together.

Counters and histograms are summed over the workers, those that are gone included; gauges have the label `pid`, as that
library's own way for several processes has it. Names stay the user's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import msgspec

from asya_sidecar.metrics import definitions as known

log = logging.getLogger("asya.metrics")

MOST_GONE, MOST_SAMPLES = 64, 5000
SUMMED = frozenset(("counter", "histogram", "summary"))
_OURS = (known.PREFIX, known.HANDLER_PREFIX)

Labels = tuple[tuple[str, str], ...]


class Family(msgspec.Struct, array_like=True):
    """One metric of a registry: its samples are `(name, labels, value)`."""

    name: str
    type: str
    help: str
    samples: list[tuple[str, dict[str, str], float]]


_decode = msgspec.json.Decoder(list[Family]).decode


class WorkerRegistries:
    """See `link.server.Registries`."""

    def __init__(self) -> None:
        self._states: dict[int, list[Family]] = {}
        self._alive: set[int] = set()
        self._past: dict[str, Family] = {}
        self._said = False

    def update(self, pid: int, body: bytes) -> None:
        """Take the state of one worker's registry."""
        try:
            found = _decode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            self._say(f"a registry that cannot be read: {error}")
            return
        taken = [family for family in found if family.name.startswith(_OURS)]
        if taken or sum(len(family.samples) for family in found) > MOST_SAMPLES:
            self._say(f"more than {MOST_SAMPLES} samples, or a name of the platform's")
            return
        self._states[pid] = found
        self._alive.add(pid)

    def gone(self, pid: int) -> None:
        """Keep what a worker has counted. It may come back, when only its link was lost."""
        self._alive.discard(pid)
        ended = [each for each in self._states if each not in self._alive]
        for old in ended[:-MOST_GONE]:
            self._past = _summed([[*self._past.values()], _without_gauges(self._states.pop(old))])

    def families(self) -> Iterator[Family]:
        """Return all metrics, put together."""
        parts = [[*self._past.values()]]
        for pid, families in self._states.items():
            if pid in self._alive:
                parts.append([_with_pid(family, pid) for family in families])
            else:
                parts.append(_without_gauges(families))
        yield from _summed(parts).values()

    def _say(self, what: str) -> None:
        if not self._said:
            self._said = True
            log.warning("what the handler counts with prometheus_client is not shown: %s (said once)", what)


def _without_gauges(families: list[Family]) -> list[Family]:
    return [family for family in families if family.type in SUMMED]


def _with_pid(family: Family, pid: int) -> Family:
    if family.type in SUMMED:
        return family
    samples = [(name, {**labels, "pid": str(pid)}, value) for name, labels, value in family.samples]
    return Family(family.name, family.type, family.help, samples)


def _summed(parts: list[list[Family]]) -> dict[str, Family]:
    """Add up samples of one name and one set of labels; a name that means two kinds keeps the first."""
    whole: dict[str, Family] = {}
    sums: dict[str, dict[tuple[str, Labels], float]] = {}
    for family in (family for part in parts for family in part):
        known_as = whole.setdefault(family.name, family)
        if known_as.type != family.type:
            continue
        counted = sums.setdefault(family.name, {})
        for name, labels, value in family.samples:
            key = (name, tuple(labels.items()))
            counted[key] = counted.get(key, 0.0) + value
    return {
        name: Family(name, family.type, family.help, [(n, dict(labels), v) for (n, labels), v in sums[name].items()])
        for name, family in whole.items()
    }
