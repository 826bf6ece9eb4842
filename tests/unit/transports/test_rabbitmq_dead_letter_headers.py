"""What headers say of a dead letter, whoever wrote them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from asya.transports.rabbitmq.dead_letter_headers import Death, read, written

AT = datetime(2026, 11, 21, 16, 2, 7, tzinfo=UTC)


def death(**fields: Any) -> dict[str, Any]:
    return {"x-death": [{"reason": "delivery_limit", "count": 1, "queue": "asya_x_a", "time": AT, **fields}]}


def test_what_we_write_is_read() -> None:
    found = read({**written("too-large", 3), "x-delivery-count": 7}, 50)
    assert (found.reason, found.attempts, found.tags) == ("too-large", 3, {})
    assert found.since == pytest.approx(time.time(), abs=5)


def test_without_a_reason_there_is_none() -> None:
    assert read(written("", 1), 50)[:2] == (None, 1)


def test_a_limit_counts_returns_so_there_was_one_delivery_more() -> None:
    found = read({**death(), "x-delivery-count": 7}, 50)
    assert found[:3] == ("delivery-limit", 51, AT.timestamp())
    assert set(found.tags) == {"x-death"}


def test_where_the_limit_is_not_known_attempts_are_not() -> None:
    assert read(death(), None)[:2] == ("delivery-limit", None)


def test_other_reasons_of_the_broker_keep_their_words() -> None:
    assert read(death(reason="expired"), 50)[:2] == ("expired", None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-death": []},
        {"x-death": "delivery_limit"},
        {"x-death": [7]},
        {"x-death": [{}]},
        {"x-death": [{"reason": "", "time": "yesterday"}]},
    ],
)
def test_what_nobody_understands_tells_nothing(headers: dict[str, Any]) -> None:
    assert read(headers, 50)[:3] == Death(None, None, None, {})[:3]


def test_our_own_headers_may_be_anybodys() -> None:
    headers = {"x-asya-reason": 7, "x-asya-attempts": "many", "x-asya-dead-at": None}
    assert read(headers, 50)[:3] == ("7", None, None)
