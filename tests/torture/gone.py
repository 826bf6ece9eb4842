"""An endpoint that is gone and comes back: what can be broken of a cloud, whose servers are not ours to kill."""

from __future__ import annotations

from collections.abc import Sequence

from tests.torture.line import Line
from tests.torture.model import CLOUDS
from tests.torture.scene import Scene

GONE = dict.fromkeys(CLOUDS, "instead: the endpoint is gone for a while, what is in the queues stays")
TRIES = 2
"""So many connections of each pod are refused before they are let in again."""


def gone_and_back(scene: Scene, lines: Sequence[Line]) -> None:
    """End all connections, refuse new ones until every pod has tried, then take them again."""
    wanted = {line: line.turned_away + TRIES for line in lines}
    for line in lines:
        line.turn_away()

    async def back() -> None:
        try:
            await scene.happened(
                lambda: all(line.turned_away >= count for line, count in wanted.items()), "every pod tries to connect"
            )
        finally:
            for line in lines:
                line.let_in()

    scene.soon(back())
