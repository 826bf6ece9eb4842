"""Questions to the metrics, as data: written once, answered by Prometheus (as PromQL) and by the live page itself."""

from __future__ import annotations

from typing import Literal

import msgspec


class Leaf(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every question to one metric has.

    `where` gives the value that a label must have, several parted by ``|``, all others with ``!`` before them; `by` the
    labels that stay, the rest is added up. `made` makes a label of another one: its name, the label it is read from,
    and a regular expression whose first group is the value; ``$namespace`` in it stands for the namespace looked at.
    """

    metric: str
    where: dict[str, str] = {}
    by: tuple[str, ...] = ()
    made: dict[str, tuple[str, str]] = {}


class Level(Leaf, frozen=True, kw_only=True, omit_defaults=True, tag="level"):
    """A gauge, put together by `how`."""

    how: Literal["sum", "max"] = "sum"


class Rate(Leaf, frozen=True, kw_only=True, omit_defaults=True, tag="rate"):
    """A counter's growth per second."""


class Quantile(Leaf, frozen=True, kw_only=True, omit_defaults=True, tag="quantile"):
    """A quantile, `q` from 0 to 1, of what a histogram has seen lately."""

    q: float


class Mean(Leaf, frozen=True, kw_only=True, omit_defaults=True, tag="mean"):
    """The mean of what a histogram has seen lately."""


class Buckets(Leaf, frozen=True, kw_only=True, omit_defaults=True, tag="buckets"):
    """Observations per second in each bucket of a histogram: a heat map."""


class Ratio(msgspec.Struct, frozen=True, kw_only=True, tag="ratio"):
    """One by the other, with the same labels; none where `bottom` is 0, and 0 where only `top` is missing."""

    top: Level | Rate
    bottom: Level | Rate


Query = Level | Rate | Quantile | Mean | Buckets | Ratio
