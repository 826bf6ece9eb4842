"""The handler of the start benchmark: notes the machine's monotonic clock at its first call."""

import os
import pathlib
import time


def handle(payload: object) -> object:
    now = time.monotonic()
    path = pathlib.Path(os.environ["BENCH_STAMP"])
    part = path.with_suffix(".part")
    part.write_text(repr(now))
    part.replace(path)  # so that whoever waits for it never sees half of it
    return payload
