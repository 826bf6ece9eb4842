"""Handlers that leave a line in a file for every call. One write of a short line in append mode is atomic."""

import os
import time

_RECORD = os.open(os.environ["TEST_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
# The work a call stands for: long enough that processes die in the middle of the flow, not after it.
_WORK_SECONDS = float(os.environ["TEST_WORK_SECONDS"])


def _work(stage: str, payload: dict) -> dict:
    os.write(_RECORD, f"{stage} {payload['n']} {os.getpid()}\n".encode())
    time.sleep(_WORK_SECONDS)
    return {**payload, stage: True}


def first(payload: dict) -> dict:
    return _work("first", payload)


def second(payload: dict) -> dict:
    return _work("second", payload)
