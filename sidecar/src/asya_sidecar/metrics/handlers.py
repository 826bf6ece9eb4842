"""Metrics that handlers count: checked, bounded, and shown under `asya_handler_`.

A mistake in one costs a line in the log and a count in `asya_actor_handler_metrics_refused_total`, never a message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from asya_sidecar.metrics import definitions as known
from asya_sidecar.metrics.custom import NAME, CustomMetric
from asya_sidecar.metrics.numbers import Histogram
from asya_sidecar.metrics.series import OTHER, Series
from asya_sidecar.notes import Note

log = logging.getLogger("asya.metrics")

MOST_METRICS, MOST_LABELS, MOST_SERIES = 200, 8, 200
LABEL_CHARACTERS, NAME_CHARACTERS = 128, 100
BUCKETS = tuple(base * 10.0**power for power in range(-3, 5) for base in (1, 2.5, 5))
"""1 ms to 50,000: for seconds, tokens and scores alike."""

_RESERVED = frozenset((*known.CONSTANT_LABELS, "le", "quantile"))
_KINDS: dict[str, known.Kind] = {"add": "counter", "set": "gauge", "observe": "histogram"}


class _Refused(Exception):  # noqa: N818  it never leaves this module
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Custom:
    """One metric of a handler. Its first value says what kind it is and which labels it has."""

    def __init__(
        self,
        name: str,
        kind: known.Kind,
        labels: tuple[str, ...],
        text: str = "",
        buckets: tuple[float, ...] = (),
    ) -> None:
        self.metric = known.Metric(
            name=name,
            kind=kind,
            help=text or "Counted by the handler.",
            labels=labels,
            buckets=(buckets or BUCKETS) if kind == "histogram" else (),
        )
        self.numbers: dict[tuple[str, ...], float] = {}
        self.histograms: dict[tuple[str, ...], Histogram] = {}

    def full(self, values: tuple[str, ...]) -> bool:
        """Tell whether these values would be one series too many."""
        held = self.histograms if self.metric.kind == "histogram" else self.numbers
        return len(held) >= MOST_SERIES and values not in held


class HandlerMetrics:
    """All metrics of one actor's handler."""

    def __init__(self, announced: tuple[CustomMetric, ...] = ()) -> None:
        self._metrics: dict[str, _Custom] = {}
        for each in announced:
            name = _whole(each.name, each.type)
            labels = tuple(sorted(each.labels))
            self._metrics[name] = _Custom(name, each.type, labels, each.help, each.buckets)
        self._refused: dict[str, int] = {}
        self._logged: set[tuple[str, str]] = set()

    def take(self, notes: list[Note]) -> None:
        """Count what one call noted; span attributes among it are not for here."""
        for kind, name, value, labels in notes:
            if kind == "attribute":
                continue
            try:
                self._count(kind, name, value, labels)
            except _Refused as refused:
                self._refuse(name, refused)

    def series(self) -> Iterator[Series]:
        """Return every series."""
        for custom in self._metrics.values():
            for values, number in custom.numbers.items():
                yield custom.metric, values, number
            for values, histogram in custom.histograms.items():
                yield custom.metric, values, histogram
        for reason in known.HANDLER_REFUSED.values["reason"]:
            yield known.HANDLER_REFUSED, (reason,), self._refused.get(reason, 0)

    def _count(self, verb: str, name: str, value: object, labels: dict[str, str]) -> None:
        kind = _KINDS.get(verb)
        if kind is None or isinstance(value, bool) or not isinstance(value, int | float):
            raise _Refused("invalid", f"{verb} of {value!r}")
        if kind == "counter" and value < 0:
            raise _Refused("invalid", f"a counter only grows, not by {value:g}")
        custom = self._custom(name, kind, tuple(sorted(labels)))
        values = tuple(labels[label][:LABEL_CHARACTERS] for label in custom.metric.labels)
        if custom.full(values):
            values = (OTHER,) * len(values)
            self._refuse(name, _Refused("too-many-series", f"more than {MOST_SERIES} series; the rest are {OTHER!r}"))
        if kind == "histogram":
            custom.histograms.setdefault(values, Histogram(custom.metric.buckets)).observe(value)
        elif kind == "counter":
            custom.numbers[values] = custom.numbers.get(values, 0.0) + value
        else:
            custom.numbers[values] = value

    def _custom(self, name: str, kind: known.Kind, labels: tuple[str, ...]) -> _Custom:
        whole = _whole(name, kind)
        custom = self._metrics.get(whole)
        if custom is None:
            _check(name, labels)
            if len(self._metrics) >= MOST_METRICS:
                raise _Refused("too-many-metrics", f"more than {MOST_METRICS} metrics")
            if self._clashes(whole, kind):
                raise _Refused("conflict", "its name is taken by one of another kind")
            custom = self._metrics[whole] = _Custom(whole, kind, labels)
        if (custom.metric.kind, custom.metric.labels) != (kind, labels):
            was = f"a {custom.metric.kind} with the labels {list(custom.metric.labels)}"
            raise _Refused("conflict", f"it is {was}, not a {kind} with {list(labels)}")
        return custom

    def _clashes(self, whole: str, kind: known.Kind) -> bool:
        """Tell whether two metrics would write series of one name (`x` and `x_total`, `x` and `x_count`)."""
        taken = {name for custom in self._metrics.values() for name in _written(custom.metric.name, custom.metric.kind)}
        return bool(taken & _written(whole, kind))

    def _refuse(self, name: str, refused: _Refused) -> None:
        self._refused[refused.reason] = self._refused.get(refused.reason, 0) + 1
        key = (name[:NAME_CHARACTERS], refused.reason)
        if key not in self._logged and len(self._logged) < MOST_METRICS:
            self._logged.add(key)
            log.warning("a metric of the handler is not counted: %r: %s (said once)", key[0], refused)


def _whole(name: str, kind: known.Kind) -> str:
    """Return the name at the scrape. A counter may be named with its suffix or without."""
    return known.HANDLER_PREFIX + (name.removesuffix("_total") + "_total" if kind == "counter" else name)


def _check(name: str, labels: tuple[str, ...]) -> None:
    if len(name) > NAME_CHARACTERS or not NAME.fullmatch(name):
        raise _Refused("invalid", "a name has letters, digits and underscores, and begins with a letter")
    if len(labels) > MOST_LABELS:
        raise _Refused("invalid", f"{len(labels)} labels; at most {MOST_LABELS} are kept")
    wrong = [label for label in labels if label in _RESERVED or not NAME.fullmatch(label)]
    if wrong:
        raise _Refused("invalid", f"these cannot be labels: {wrong}")


def _written(name: str, kind: known.Kind) -> set[str]:
    """Return the names that a metric's family and its samples have in either format."""
    base = name.removesuffix("_total")
    return {base, name, base + "_created"} | (
        {base + end for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else set()
    )
