"""When batches leave, and what becomes of each entry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from asya.errors import RefusedError
from asya.transports.sqs.batches import Batches, Outcome


class Wire:
    """Takes batches and answers when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.answers: list[asyncio.Future[Sequence[Outcome]]] = []

    async def __call__(self, entries: Sequence[int]) -> Sequence[Outcome]:
        self.batches.append(list(entries))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    def answer(self, index: int = 0, *outcomes: Outcome) -> None:
        self.answers.pop(index).set_result(outcomes)

    def all_well(self, index: int, count: int) -> None:
        self.answer(index, *([None] * count))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_entry_leaves_at_once_when_nothing_is_under_way() -> None:
    wire = Wire()
    batches = Batches(wire)
    done = batches.submit(1)
    await turns()
    assert wire.batches == [[1]]
    assert not done.done()
    wire.all_well(0, 1)
    await done
    await turns()
    assert batches.idle


async def test_what_comes_in_one_turn_goes_together() -> None:
    wire = Wire()
    batches = Batches(wire)
    for number in range(4):
        batches.submit(number)
    await turns()
    assert wire.batches == [[0, 1, 2, 3]]


async def test_entries_gather_behind_a_call_and_leave_when_it_ends_or_when_there_are_ten() -> None:
    wire = Wire()
    batches = Batches(wire)
    batches.submit(0)
    await turns()
    for number in range(1, 10):
        batches.submit(number)
        await turns()
    assert wire.batches == [[0]]
    batches.submit(10)
    await turns()
    assert wire.batches[1] == list(range(1, 11))
    batches.submit(11)
    await turns()
    assert len(wire.batches) == 2
    wire.all_well(0, 1)
    await turns()
    assert len(wire.batches) == 2, "another call is still under way"
    wire.all_well(0, 10)
    await turns()
    assert wire.batches[2] == [11]


async def test_full_batches_run_beside_each_other_up_to_a_bound() -> None:
    wire = Wire()
    batches = Batches(wire, parallel=2)
    for number in range(35):
        batches.submit(number)
    await turns()
    assert [len(batch) for batch in wire.batches] == [10, 10]
    wire.all_well(0, 10)
    await turns()
    assert [len(batch) for batch in wire.batches] == [10, 10, 10]


async def test_a_batch_holds_no_more_bytes_than_a_request_may() -> None:
    wire = Wire()
    batches = Batches(wire, most_bytes=100)
    for number, size in enumerate((60, 40, 1, 100, 99)):
        batches.submit(number, size)
    await turns()
    for count in (2, 1, 1, 1):
        wire.all_well(0, count)
        await turns()
    assert wire.batches == [[0, 1], [2], [3], [4]]


async def test_each_entry_has_its_own_outcome() -> None:
    wire = Wire()
    batches = Batches(wire)
    waiting = [batches.submit(number) for number in range(3)]
    await turns()
    wire.answer(0, None, RefusedError("try again"), None)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in outcomes] == [type(None), RefusedError, type(None)]


async def test_a_call_that_fails_fails_all_of_its_entries_and_no_other() -> None:
    wire = Wire()
    batches = Batches(wire)
    first = [batches.submit(number) for number in range(2)]
    await turns()
    later = batches.submit(2)
    wire.answers.pop(0).set_exception(RefusedError("no"))
    for waiting in first:
        with pytest.raises(RefusedError):
            await waiting
    await turns()
    wire.all_well(0, 1)
    await later


async def test_nobody_need_wait_for_the_answer() -> None:
    wire = Wire()
    batches = Batches(wire)
    given_up, kept = batches.submit(1), batches.submit(2)
    await turns()
    given_up.cancel()
    wire.all_well(0, 2)
    await kept
