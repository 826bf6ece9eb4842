"""All rows. Together they meet every id of the truth table; a test holds them to it."""

from __future__ import annotations

from tests.torture import calls, cloud_answers, holding, kills, kinds, machine, network
from tests.torture.model import Row

ROWS: list[Row] = [
    *kills.ROWS,
    *network.ROWS,
    *cloud_answers.ROWS,
    *calls.ROWS,
    *holding.ROWS,
    *machine.ROWS,
    *kinds.ROWS,
]
