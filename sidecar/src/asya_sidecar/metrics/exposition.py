"""The scrape: series to `prometheus_client`'s families, in its text or OpenMetrics format.

Imported by the first scrape, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from asya_sidecar.metrics import definitions as known
from asya_sidecar.metrics.numbers import Histogram
from asya_sidecar.metrics.registries import Family
from asya_sidecar.metrics.series import Series

_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Exposition(Collector):
    """Writes what `read` returns, with the constant labels before each series' own."""

    def __init__(
        self,
        read: Callable[[], Iterable[Series]],
        constant: tuple[str, str],
        registries: Callable[[], Iterable[Family]] = tuple,
    ) -> None:
        """`constant` are the values of `definitions.CONSTANT_LABELS`; `registries` gives what has names of its own."""
        self._read, self._constant, self._registries = read, constant, registries
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are known only when they are read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return one family for each metric."""
        families: dict[str, _Family] = {}
        for metric, labels, number in self._read():
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = _family(metric)
            values = [*self._constant, *labels]
            if isinstance(number, Histogram) and isinstance(family, HistogramMetricFamily):
                family.add_metric(values, _cumulated(number), number.total)
            elif not isinstance(number, Histogram) and not isinstance(family, HistogramMetricFamily):
                family.add_metric(values, number)
        yield from families.values()
        constant = dict(zip(known.CONSTANT_LABELS, self._constant, strict=True))
        for foreign in self._registries():
            own = Metric(foreign.name, foreign.help, foreign.type)
            for name, own_labels, value in foreign.samples:
                # A label of the user's that is called as one of ours stays the user's.
                own.add_sample(name, {**constant, **own_labels}, value)
            yield own

    def write(self, accept: str) -> tuple[bytes, str]:
        """Return the body and its content type, as the `Accept` header of the scrape asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _family(metric: known.Metric) -> _Family:
    labels = [*known.CONSTANT_LABELS, *metric.labels]
    match metric.kind:
        case "counter":
            return CounterMetricFamily(metric.name, metric.help, labels=labels)
        case "gauge":
            return GaugeMetricFamily(metric.name, metric.help, labels=labels)
        case "histogram":
            return HistogramMetricFamily(metric.name, metric.help, labels=labels)


def _cumulated(histogram: Histogram) -> list[tuple[str, float]]:
    sums, so_far = [], 0
    for bound, count in zip([*histogram.bounds, float("inf")], histogram.counts, strict=True):
        so_far += count
        sums.append((floatToGoString(bound), float(so_far)))  # type: ignore[no-untyped-call]
    return sums
