"""Which queues of deleted actors are removed: table, and a real broker."""

from __future__ import annotations

import pytest

from asya.errors import SettingsError
from asya.operator.broker import Broker
from asya.operator.orphans import Queue, candidates, orphans, owner


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("asya_a_x", ("a", "x")),
        ("asya_a_x_dlq", ("a", "x")),
        ("asya_team-a_x-y", ("team-a", "x-y")),
        ("asya_a", None),
        ("asya_a_", None),
        ("asya_a_x_y", None),
        ("asya_a_x_dlq_dlq", None),
        ("asya.delay.1", None),
        ("asya-a-x", None),
        ("orders", None),
        ("", None),
    ],
)
def test_a_name_tells_whose_it_is(name: str, whose: tuple[str, str] | None) -> None:
    assert owner(name) == whose


@pytest.mark.parametrize(
    ("queue", "goes"),
    [
        (Queue("asya_a_x", 0, 0), True),
        (Queue("asya_a_x_dlq", 0, 0), True),
        (Queue("asya_a_x", 1, 0), False),
        (Queue("asya_a_x", 0, 1), False),
        (Queue("asya_a_x", None, 0), False),
        (Queue("asya_a_x", 0, None), False),
        (Queue("asya_a_x", 0, 0, ["asya_a"]), False),
        (Queue("asya_a_here", 0, 0), False),
        (Queue("asya_a_here_dlq", 0, 0), False),
        (Queue("asya_b_here", 0, 0), True),
        (Queue("orders", 0, 0), False),
    ],
)
def test_only_what_is_ours_empty_unused_and_unbound(queue: Queue, goes: bool) -> None:
    assert candidates([queue], {("a", "here")}) == ([queue.name] if goes else [])
    assert orphans([queue], {("a", "here")}, before=[queue.name]) == ([queue.name] if goes else [])
    assert orphans([queue], {("a", "here")}, before=[]) == []


def test_dead_letters_stay_as_long_as_their_queue() -> None:
    queues = [Queue("asya_a_x", 5, 0), Queue("asya_a_x_dlq", 0, 0)]
    assert orphans(queues, set(), before=["asya_a_x_dlq"]) == []
    assert orphans(queues[1:], set(), before=["asya_a_x_dlq"]) == ["asya_a_x_dlq"]


@pytest.mark.parametrize("url", ["", "amqp://a", "http://", "nonsense"])
def test_an_address_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="its value is not shown"):
        Broker(url, "/")
