"""What every script here is told and tells: the same queues, the same payload, the same prefetch.

``SCRIPT describe`` reads payloads (a JSON list) from standard input, makes the queues as the worker would, and prints
how a message for the worker looks, one for each payload. ``SCRIPT work`` serves until SIGTERM.
"""

import base64
import json
import os
import sys

from contract_id import MESSAGE_ID

__all__ = ["MESSAGE_ID"]

URL = os.environ["BENCH_URL"]
SOURCE = os.environ["BENCH_SOURCE"]
TARGET = os.environ["BENCH_TARGET"]
QUEUE_TYPE = os.environ["BENCH_QUEUE_TYPE"]
PREFETCH = int(os.environ["BENCH_PREFETCH"])
VARIANT = os.environ["BENCH_VARIANT"]


def payloads() -> list:
    """What the benchmark will send, as Python objects."""
    return json.load(sys.stdin)


def describe(bodies: list, *, exchange: str = "", key: str = SOURCE, properties: dict | None = None) -> None:
    """Tell how messages look. `bodies`: encoded messages, one for each payload."""
    encoded = [base64.b64encode(body).decode() for body in bodies]
    known = {"exchange": exchange, "key": key, "properties": {"delivery_mode": 2, **(properties or {})}}
    json.dump({**known, "bodies": encoded}, sys.stdout)


def plain(values: list) -> list:
    """Bodies of those that send a payload as it is."""
    return [json.dumps(value, separators=(",", ":")).encode() for value in values]
