"""The server that plays SQS neither forgets nor brings back messages when many calls come at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# In a process of its own, because moto is changed for good; threads take turns far more often than they would.
CALLS = """
import sys, threading
from moto.sqs.models import sqs_backends
from tests.support.moto_server import take_turns

take_turns()
sys.setswitchinterval(1e-5)
backend = sqs_backends["123456789012"]["eu-west-1"]
queue = backend.create_queue("q", {})
for number in range(120):
    backend.send_message("q", f"old {number}", {}, 0)
held = []
while found := backend.receive_message("q", 10, 0, 600):
    held += found


def replace(part):
    for message in part:
        queue.delete_message(message.receipt_handle)
        backend.send_message("q", "new", {}, 0)


threads = [threading.Thread(target=replace, args=(held[index::8],)) for index in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
bodies = [message.body for message in queue._messages]
print(len(held), len(bodies), bodies.count("new"))
"""


def test_what_is_deleted_is_gone_and_what_is_sent_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALLS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    assert done.stdout.split() == ["120", "120", "120"]
