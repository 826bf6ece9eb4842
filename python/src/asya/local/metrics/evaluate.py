"""Answering a `query` from two looks at the same counters: what Prometheus would say, for the live page.

As PromQL's `sum by`, `rate` and `histogram_quantile`, with two liberties that our own counters allow: they never go
back, and a series that was not there before began at 0.

Source: prometheus.io/docs/prometheus/latest/querying/functions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from prometheus_client import Metric

from asya.local.metrics.query import Buckets, Leaf, Level, Mean, Quantile, Query, Rate, Ratio

Labels = tuple[str, ...]
"""Values of the labels that a query keeps, in their order."""
Look = Mapping[str, list[tuple[Mapping[str, str], float]]]
"""Labels and value of every sample, by the sample's name."""


def look_at(families: Iterable[Metric]) -> Look:
    """Return the samples of `families` by name."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def answer(query: Query, now: Look, then: Look | None, seconds: float) -> dict[Labels, float]:
    """Return the value for each set of labels; `then` is an earlier look, `seconds` ago, None when there was none."""
    if isinstance(query, Ratio):
        tops = answer(query.top, now, then, seconds)
        bottoms = answer(query.bottom, now, then, seconds)
        return {labels: tops.get(labels, 0.0) / bottom for labels, bottom in bottoms.items() if bottom > 0}
    if isinstance(query, Level):
        return _grouped(query, now, query.metric, highest=query.how == "max")
    if then is None or seconds <= 0:
        return {}
    if isinstance(query, Rate):
        return {labels: value / seconds for labels, value in _grown(query, now, then, query.metric).items()}
    if isinstance(query, Mean):
        counts = _grown(query, now, then, f"{query.metric}_count")
        sums = _grown(query, now, then, f"{query.metric}_sum")
        return {labels: sums.get(labels, 0.0) / count for labels, count in counts.items() if count > 0}
    if isinstance(query, Quantile):
        return _quantiles(query, now, then)
    raise TypeError(f"the live page has no {type(query).__name__}")


def _quantiles(query: Quantile, now: Look, then: Look) -> dict[Labels, float]:
    buckets: dict[Labels, list[tuple[float, float]]] = {}
    with_bound = Buckets(metric=query.metric, where=query.where, by=(*query.by, "le"), made=query.made)
    for (*labels, bound), count in _grown(with_bound, now, then, f"{query.metric}_bucket").items():
        buckets.setdefault(tuple(labels), []).append((float(bound), count))
    found = {labels: _quantile(query.q, sorted(counts)) for labels, counts in buckets.items()}
    return {labels: value for labels, value in found.items() if not math.isnan(value)}


def _quantile(q: float, buckets: list[tuple[float, float]]) -> float:
    """Interpolate in cumulative `buckets` (upper bound, count), the last bound infinite; NaN without observations."""
    total = buckets[-1][1]
    if total <= 0:
        return math.nan
    rank, lower, below = q * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower


def _grown(query: Leaf, now: Look, then: Look, name: str) -> dict[Labels, float]:
    before = _grouped(query, then, name)
    return {labels: max(0.0, value - before.get(labels, 0.0)) for labels, value in _grouped(query, now, name).items()}


def _grouped(query: Leaf, look: Look, name: str, *, highest: bool = False) -> dict[Labels, float]:
    groups: dict[Labels, float] = {}
    for labels, value in look.get(name, ()):
        if all(_holds(labels.get(label, ""), wanted) for label, wanted in query.where.items()):
            key = tuple(_value(query, labels, label) for label in query.by)
            if highest:
                groups[key] = max(groups.get(key, value), value)
            else:
                groups[key] = groups.get(key, 0.0) + value
    return groups


def _value(query: Leaf, labels: Mapping[str, str], label: str) -> str:
    if (made := query.made.get(label)) is not None:
        source, pattern = made
        match = _pattern(pattern, labels.get("namespace", "")).fullmatch(labels.get(source, ""))
        return match[1] if match else ""
    return labels.get(label, "")


def _holds(value: str, wanted: str) -> bool:
    if wanted.startswith("!"):
        return value not in wanted[1:].split("|")
    return value in wanted.split("|")


@lru_cache(maxsize=64)
def _pattern(text: str, namespace: str) -> re.Pattern[str]:
    return re.compile(text.replace("$namespace", re.escape(namespace)))
