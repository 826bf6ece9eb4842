"""Queries as PromQL."""

from __future__ import annotations

from asya.local.metrics.query import Buckets, Leaf, Level, Mean, Quantile, Query, Rate, Ratio
from monitoring.catalogue import KNOWN

PANEL_WINDOW = "$__rate_interval"


def promql(query: Query, window: str = PANEL_WINDOW, *, scoped: bool = True) -> str:
    """Write a query down. `window` is the range of rates; `scoped`: only what the dashboard's variables choose."""
    if isinstance(query, Ratio):
        top, bottom = promql(query.top, window, scoped=scoped), promql(query.bottom, window, scoped=scoped)
        # Without the zeros there would be no line where nothing of the top was ever counted.
        return f"({top} or {bottom} * 0) / ({bottom} > 0)"
    by, metric = query.by, query.metric
    chosen = _selector(query, scoped=scoped)
    if isinstance(query, Level):
        return _summed(query, query.how, by, f"{metric}{chosen}")
    if isinstance(query, Rate):
        return _summed(query, "sum", by, f"rate({metric}{chosen}[{window}])")
    if isinstance(query, Mean):
        parts = [_summed(query, "sum", by, f"rate({metric}_{part}{chosen}[{window}])") for part in ("sum", "count")]
        return " / ".join(parts)
    inner = _summed(query, "sum", ("le", *by), f"rate({metric}_bucket{chosen}[{window}])")
    if isinstance(query, Buckets):
        return inner
    if isinstance(query, Quantile):
        return f"histogram_quantile({query.q:g}, {inner})"
    raise TypeError(type(query).__name__)


def _summed(query: Leaf, how: str, by: tuple[str, ...], inner: str) -> str:
    for label, (source, pattern) in query.made.items():
        quoted = pattern.replace("\\", "\\\\")
        inner = f'label_replace({inner}, "{label}", "$1", "{source}", "{quoted}")'
    return f"{how} by ({', '.join(by)}) ({inner})" if by else f"{how}({inner})"


def _selector(query: Leaf, *, scoped: bool) -> str:
    parts = [_matcher(label, text) for label, text in query.where.items()]
    if scoped:
        parts += _scope(query)
    return f"{{{', '.join(parts)}}}" if parts else ""


def _scope(query: Leaf) -> list[str]:
    known, parts = KNOWN[query.metric], ['namespace="$namespace"']
    if not query.where.get("actor", "!").startswith("!"):
        return parts  # the panel is about certain actors, whatever is chosen
    if "actor" in known.labels:
        parts.append('actor=~"$actor"')
    elif "actor" in known.made:
        label, pattern = known.made["actor"]
        # The pattern with the chosen actors in place of its group.
        rest = pattern.removeprefix("(.+?)") if pattern.startswith("(.+?)") else None
        parts.append(f'{label}=~"$actor{rest}"' if rest else f'{label}=~"{pattern.replace("(.+)", "$actor")}"')
    return parts


def _matcher(label: str, text: str) -> str:
    several = "|" in text
    negative, values = text.startswith("!"), text.removeprefix("!")
    operator = ("!~" if negative else "=~") if several else ("!=" if negative else "=")
    return f'{label}{operator}"{values}"'
