"""The handler of the fan-out benchmark: what it receives, BENCH_FAN_OUT times."""

import os
from collections.abc import Iterator

TIMES = int(os.environ["BENCH_FAN_OUT"])


def handle(payload: object) -> Iterator[object]:
    for _ in range(TIMES):
        yield payload
