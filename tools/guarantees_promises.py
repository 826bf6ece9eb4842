"""The parts of `docs/reference/guarantees.md` that say, for each transport, how a promise is kept and what shows it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
SUITE: Final = ROOT / "tests" / "contract" / "transports"
TRANSPORTS: Final = {"sqlite": "SQLite", "rabbitmq": "RabbitMQ", "sqs": "SQS", "pubsub": "Pub/Sub"}
NAMED: Final = 3
"""So many failures are named in a cell; the others are counted."""


@dataclass(frozen=True)
class Promise:
    """What holds on every transport; by what means on each, in the order of `TRANSPORTS`; tests of the suite."""

    text: str
    means: tuple[str, str, str, str]
    tests: tuple[str, ...]


PROMISES: Final = (
    Promise(
        "A result is confirmed before its input is settled",
        (
            "one transaction",
            "publisher confirms, then the acknowledgement",
            "the answer to `SendMessageBatch`, then `DeleteMessageBatch`",
            "the answer to `Publish`, then `Acknowledge`",
        ),
        ("test_complete_publishes_before_it_settles", "test_several_results_go_to_their_queues"),
    ),
    Promise(
        "A delivery is settled once; settling what is somebody else's is refused",
        (
            "a token in the message's row",
            "a delivery tag, void with its connection",
            "by our own clock, as SQS takes receipts that are over",
            "by our own clock; confirmed on exactly-once subscriptions",
        ),
        ("test_a_delivery_is_settled_once", "test_a_lease_that_runs_out_goes_to_somebody_else"),
    ),
    Promise(
        "What a dead process held comes again",
        (
            "when its lease ends (30 s)",
            "when its connection ends",
            "when its visibility timeout ends (60 s)",
            "when its deadline ends (60 s)",
        ),
        ("test_a_crashed_consumers_messages_come_again",),
    ),
    Promise(
        "A long call keeps its message",
        (
            "the lease is extended",
            "as long as the connection lives, up to `consumer_timeout`",
            "the visibility timeout is extended, up to 12 hours",
            "the deadline is extended, however long",
        ),
        ("test_an_extended_lease_is_kept",),
    ),
    Promise(
        "A message that kills whoever receives it ends in the dead letters",
        (
            "counted in the message's row",
            "`x-delivery-limit` of quorum queues, 50 unless set",
            "`maxReceiveCount` of the redrive policy",
            "`maxDeliveryAttempts`, 5 to 100, approximate",
        ),
        ("test_a_message_that_kills_its_consumer_ends_in_the_dead_letters",),
    ),
    Promise(
        "Dead letters keep their bytes and can be looked at without being taken",
        (
            "a state of the row",
            "a queue of their own",
            "a queue of their own, hidden for 30 s while looked at",
            "a subscription of their own",
        ),
        ("test_dead_letters_are_looked_at_not_taken",),
    ),
    Promise(
        "A retry comes when its time has come, however long that is",
        (
            "a time in the row",
            "a ladder of delay queues",
            "`DelaySeconds`, in several hops beyond 900 s",
            "a delay topic whose messages are left until they are due",
        ),
        ("test_a_delayed_message_comes_when_its_time_has_come", "test_a_short_delay_does_not_wait_behind_a_long_one"),
    ),
    Promise(
        "No more messages are out than there is credit for",
        (
            "received by count",
            "`prefetch`",
            "`MaxNumberOfMessages`, never above the free credit",
            "the stream's flow control; what is sent in excess waits",
        ),
        ("test_credit_is_never_exceeded", "test_credit_is_used"),
    ),
    Promise(
        "A message to an actor without a queue is told, not lost",
        (
            "looked up in the transaction",
            "`mandatory`: returned by the broker",
            "`QueueDoesNotExist`",
            "`NOT_FOUND` of the topic",
        ),
        ("test_publishing_to_a_queue_that_is_missing", "test_a_delay_does_not_hide_a_missing_destination"),
    ),
    Promise(
        "A message over the limit is refused before anything is sent",
        ("64 MiB unless set", "16 MiB unless set", "1 MiB, with a bucket 64 MiB", "9.99 MB"),
        ("test_too_large_publishes_nothing",),
    ),
    Promise(
        "A process that stops gives back what it has not done",
        ("rows are freed", "`basic.nack` with requeue", "visibility timeout 0", "deadline 0"),
        ("test_closing_a_transport_releases_what_is_unsettled", "test_release_comes_back_at_once"),
    ),
    Promise(
        "Bodies arrive byte for byte",
        ("a blob", "as it is", "as text, Base64 where it is none SQS takes", "as it is"),
        ("test_bodies_are_byte_exact",),
    ),
)
INTRODUCTION: Final = """
## On every transport

What the transports promise, by what means, and the test of the contract suite that shows it: `make test` runs each of
them on every transport, against a real RabbitMQ, moto's SQS and Google's Pub/Sub emulator.

"""
ROWS: Final = """
## What shows each row

Each row of the tables above is a case of the contract suite (`tests/contract/transports/test_truth_table.py`) and an
oracle of `make simulate`. Besides, it is met by failures of [the matrix below](#tried-by-breaking-it), which a cell
names for the transport they were made on.

"""


def promises() -> str:
    """Return the section about transports; raises SystemExit for a test that the suite does not have."""
    places = _tests()
    head = ["promise", *TRANSPORTS.values(), "shown by"]
    lines = [_line(head), _line(["---"] * len(head))]
    for promise in PROMISES:
        missing = [test for test in promise.tests if test not in places]
        if missing or not all(promise.means):
            raise SystemExit(f"{Path(__file__).name}: {promise.text!r}: no such test {missing}, or an empty cell")
        shown = ", ".join(f"`{places[test]}::{test}`" for test in promise.tests)
        lines.append(_line([promise.text, *promise.means, shown]))
    return INTRODUCTION + "".join(lines)


def rows(ids: Iterable[str], results: Sequence[Mapping[str, Any]]) -> str:
    """Return the table id × transport; raises SystemExit for a cell that no failure fills."""
    if not results:
        return ""
    head = ["row", *TRANSPORTS.values()]
    lines = [_line(head), _line(["---"] * len(head))]
    for each in ids:
        met = {transport: _met(each, transport, results) for transport in TRANSPORTS}
        if empty := [transport for transport, names in met.items() if not names]:
            raise SystemExit(f"guarantees: no failure of the matrix meets {each} on {', '.join(empty)}")
        lines.append(_line([f"[`{each}`](#{each})", *map(_named, met.values())]))
    return ROWS + "".join(lines)


def _met(row: str, transport: str, results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Failures that meet a row on a transport and hold there; those that meet few rows first, as they show it best.

    What does not hold by one of a transport's engines shows nothing.
    """
    here = [result for result in results if result["transport"] == transport and row in result["row_ids"]]
    broken = {result["row"] for result in here if not (result["ok"] or result["absent"])}
    found = {result["row"]: len(result["row_ids"]) for result in here if result["ok"] and result["row"] not in broken}
    return sorted(found, key=lambda name: found[name])


def _named(names: Sequence[str]) -> str:
    links = ", ".join(f"[{name}](#tried-{name})" for name in names[:NAMED])
    return links + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _tests() -> dict[str, str]:
    """Where each test of the suite is: file's name by test's name."""
    return {
        node.name: file.name
        for file in sorted(SUITE.glob("test_*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
    }


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
