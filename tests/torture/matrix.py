"""All rows, and which ids of the truth table no failure can meet."""

from __future__ import annotations

from tests.torture import calls, holding, kills, kinds, network
from tests.torture.model import Row

ROWS: list[Row] = [*kills.ROWS, *network.ROWS, *calls.ROWS, *holding.ROWS, *kinds.ROWS]
