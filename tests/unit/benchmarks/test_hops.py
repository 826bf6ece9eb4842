"""A rate counts only when every message arrived and none is left."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import pytest
from benchmarks.hops import CountError, Hops, measure


def counts(*values: int) -> Callable[[], Awaitable[int]]:
    """A queue whose looks give these numbers, the last one for ever."""
    left = list(values)

    async def look() -> int:
        return left.pop(0) if len(left) > 1 else left[0]

    return look


async def run(arrived: Callable[[], Awaitable[int]], left: Callable[[], Awaitable[int]]) -> Hops:
    return await measure(
        total=100,
        arrived=arrived,
        left=left,
        processes={"worker": os.getpid()},
        progress=lambda _: None,
        within=1.0,
    )


async def test_rate_is_taken_after_the_warm_up_and_before_the_end() -> None:
    seen: list[float] = []
    hops = await measure(
        total=100,
        arrived=counts(0, 5, 20, 60, 100),
        left=counts(0),
        processes={"worker": os.getpid()},
        progress=seen.append,
        within=5.0,
    )
    # 40 messages between two looks that are at least 50 ms apart, and not many times that.
    assert 40 / 1.0 < hops.rate <= 40 / 0.05
    assert hops.cpu_us["worker"] >= 0
    assert seen == [0, 0.05, 0.2, 0.6, 1]


async def test_calls_are_counted_between_the_same_looks_as_messages() -> None:
    calls = iter([1.0, 2.0, 10.0, 30.0, 99.0])
    hops = await measure(
        total=100,
        arrived=counts(0, 5, 20, 60, 100),
        left=counts(0),
        processes={},
        progress=lambda _: None,
        within=5.0,
        calls=lambda: next(calls),
    )
    assert hops.calls == (30 - 10) / (60 - 20)


async def test_lost_messages_are_an_error() -> None:
    with pytest.raises(CountError, match="99 of 100 messages arrived"):
        await run(counts(50, 99), counts(0))


async def test_messages_that_came_twice_are_an_error() -> None:
    with pytest.raises(CountError, match="101 messages in the target, 100 were sent"):
        await run(counts(20, 60, 101), counts(0))


async def test_unsettled_messages_are_an_error() -> None:
    with pytest.raises(CountError, match="3 messages were not settled"):
        await run(counts(20, 60, 100), counts(3))


async def test_too_few_messages_to_tell_are_an_error() -> None:
    with pytest.raises(CountError, match="too few"):
        await run(counts(100), counts(0))
