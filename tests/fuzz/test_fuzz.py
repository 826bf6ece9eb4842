"""A share of `make fuzz`, the same inputs each time; and that a defect would be found."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.fuzz import mutations, targets
from tests.fuzz.explore import FoundError, explore, reduced

from asya.errors import WireError
from asya.wire import decode
from asya_sidecar.link import frames


@pytest.mark.parametrize("target", targets.TARGETS)
def test_nothing_is_found(target: str) -> None:
    assert explore(target, 2_000) >= 2_000


def test_inputs_are_varied_and_of_both_kinds() -> None:
    inputs = [mutations.envelope(random.Random(seed)) for seed in range(2_000)]
    assert len(set(inputs)) > 1_500
    refused = sum(_is_refused(data) for data in inputs)
    assert 400 < refused < 1_600


def _is_refused(data: bytes) -> bool:
    try:
        decode(data)
    except WireError:
        return True
    return False


def test_a_message_that_loses_its_bytes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = targets.receive

    def lossy(body: bytes, *more: Any) -> Any:
        return receive(body.replace(b"\xff", b""), *more)

    monkeypatch.setattr(targets, "receive", lossy)
    with pytest.raises(FoundError, match="the sump has other bytes") as found:
        explore("envelope", 5_000)
    assert found.value.data == b"\xff"


def test_a_frame_cut_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = frames.FrameReader.feed
    monkeypatch.setattr(frames.FrameReader, "feed", lambda self, data: feed(self, data.replace(b"x", b"y")))
    with pytest.raises(FoundError):
        explore("codecs", 5_000)


def test_a_failing_input_is_cut_down() -> None:
    def check(data: bytes) -> None:
        assert b"bad" not in data

    assert reduced(b"a lot of good and then bad in the middle of it", check, AssertionError) == b"bad"


@pytest.mark.parametrize(
    "answer",
    [
        frames.frame(frames.ERROR, 1, b"\xff"),
        frames.frame(frames.ERROR, 1, b'{"type": "\xff"}'),
        frames.frame(frames.ERROR, 1, b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        frames.frame(frames.RESULT, 1, b"\xff\xff\xff\xff"),
    ],
)
def test_an_answer_that_cannot_be_read_loses_no_call(answer: bytes) -> None:
    """Found here: the call was off the list before its answer was read, and so ended never."""
    targets.link(answer)


def test_a_nested_envelope_is_refused_with_its_bytes() -> None:
    targets.envelope(json.dumps({"id": "a", "route": {"curr": "me"}, "headers": {"x": "@"}}).encode().replace(
        b'"@"', b"[" * 100_000 + b"]" * 100_000
    ))  # fmt: skip
