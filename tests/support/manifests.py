"""The manifests under `tests/compose/manifests`, and what is expected of each.

A bad one begins with comments: ``# expect:`` a text that the models' problem holds, and ``# cluster:`` one that the API
server's error holds where it words it otherwise (a wrong type, a pattern). ``# cluster: asked by the composition``
marks what neither schema nor CEL can see.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "compose" / "manifests"
GOOD = sorted((FOLDER / "good").glob("*.yaml"))
BAD = sorted((FOLDER / "bad").glob("*.yaml"))
ONLY_COMPOSED = "asked by the composition"


@dataclass(frozen=True, slots=True)
class Expectation:
    """Texts that the errors hold; `cluster` is None where the API server cannot know."""

    models: str
    cluster: str | None


def expectation(file: Path) -> Expectation:
    """Read what a bad manifest's first lines ask for."""
    comments = dict(
        line.removeprefix("# ").split(": ", 1) for line in file.read_text().splitlines() if line.startswith("# ")
    )
    cluster = comments.get("cluster", comments["expect"])
    return Expectation(comments["expect"], None if cluster == ONLY_COMPOSED else cluster)
