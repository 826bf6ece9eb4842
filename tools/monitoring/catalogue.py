"""Every metric there is, and the only way to ask for one: a name, label or value that does not exist is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from asya.local.metrics import definitions as supervisor
from asya.local.metrics.query import Buckets, Leaf, Level, Mean, Quantile, Rate
from asya_sidecar.metrics import definitions as sidecar

L = TypeVar("L", bound=Leaf)

COMMON = ("namespace", "actor", "replica")
"""Labels of every metric of a sidecar: two it gives itself, `replica` is set where it is scraped."""
DESTINATION = {"destination": ("destination_queue", "(?:asya[_-]$namespace[_-])?(.+)")}
"""The actor behind a queue's name, in both ways of naming queues."""


class Known(msgspec.Struct, frozen=True):
    """One metric as far as queries need to know it."""

    kind: str
    labels: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    made: dict[str, tuple[str, str]] = {}


class DefinitionError(ValueError):
    """A panel or rule asks for something that does not exist."""


def _known() -> dict[str, Known]:
    found = {metric.name: Known(metric.kind, (*metric.labels, *COMMON), metric.values) for metric in sidecar.ALL}
    for own in supervisor.ALL:
        made = {} if own.actor_label is None else {"actor": own.actor_label}
        found[own.name] = Known(own.kind, own.labels, own.values, made)
    return found


KNOWN = _known()
_KINDS = {Level: "gauge", Rate: "counter", Quantile: "histogram", Mean: "histogram", Buckets: "histogram"}


def level(metric: str, *by: str, highest: bool = False, **where: str) -> Level:
    """Ask for a gauge, added up or its highest."""
    return _checked(Level(metric=metric, where=where, by=by, made=_made(metric, by), how="max" if highest else "sum"))


def rate(metric: str, *by: str, **where: str) -> Rate:
    """Ask for a counter's growth per second."""
    return _checked(Rate(metric=metric, where=where, by=by, made=_made(metric, by)))


def quantile(q: float, metric: str, *by: str, **where: str) -> Quantile:
    """Ask for a quantile of a histogram."""
    return _checked(Quantile(q=q, metric=metric, where=where, by=by, made=_made(metric, by)))


def mean(metric: str, *by: str, **where: str) -> Mean:
    """Ask for the mean of a histogram."""
    return _checked(Mean(metric=metric, where=where, by=by, made=_made(metric, by)))


def buckets(metric: str, **where: str) -> Buckets:
    """Ask for a histogram's heat map."""
    return _checked(Buckets(metric=metric, where=where))


def named(metric: str, *labels: str, **where: str) -> str:
    """Return a metric's name, or its selector, for an expression that is written as text."""
    _check(metric, labels, where)
    chosen = ",".join(f'{label}="{value}"' for label, value in where.items())
    return f"{metric}{{{chosen}}}" if chosen else metric


def _made(metric: str, by: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    known = KNOWN.get(metric)
    if known is None:
        return {}
    made = known.made | (DESTINATION if "destination_queue" in known.labels else {})
    return {label: source for label, source in made.items() if label in by}


def _checked(query: L) -> L:
    _check(query.metric, query.by, query.where, query.made)
    if KNOWN[query.metric].kind != _KINDS[type(query)]:
        raise DefinitionError(
            f"{query.metric} is a {KNOWN[query.metric].kind}: no {type(query).__name__.lower()} of it"
        )
    return query


def _check(metric: str, by: tuple[str, ...], where: Mapping[str, str], made: Mapping[str, object] = {}) -> None:
    known = KNOWN.get(metric)
    if known is None:
        raise DefinitionError(f"there is no metric {metric}")
    for label in (*by, *where):
        if label not in known.labels and label not in made:
            raise DefinitionError(f"{metric} has no label {label}; it has {', '.join(known.labels)}")
    for label, text in where.items():
        for value in text.removeprefix("!").split("|"):
            if label in known.values and value not in known.values[label]:
                raise DefinitionError(f"{metric} has no {label} {value!r}; it has {', '.join(known.values[label])}")
