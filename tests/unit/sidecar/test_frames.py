"""Both ends of the link cut a stream into the same frames, small and large, in whatever pieces it comes."""

from __future__ import annotations

import random
import socket
import threading

import pytest

import asya_runtime
from asya_sidecar.link import frames

SIZES = (0, 1, 450, 32_000, 65_530, 65_536, 70_000, 131_072, 1_048_576, 3_000_001)


def _stream() -> tuple[bytes, list[tuple[int, int, bytes]]]:
    chance = random.Random(7)
    wanted = [(frames.RESULT, number, chance.randbytes(size)) for number, size in enumerate(SIZES * 2)]
    chance.shuffle(wanted)
    return b"".join(frames.frame(*each) for each in wanted), wanted


@pytest.mark.parametrize("most", [1_000, 65_536, 262_144, 10_000_000])
def test_the_sidecar_cuts_frames_of_all_sizes(most: int) -> None:
    data, wanted = _stream()
    reader, found, at, chance = frames.FrameReader(), list[tuple[int, int, bytes]](), 0, random.Random(most)
    while at < len(data):
        room = reader.room()
        assert room, "there must always be room for the next byte"
        count = min(len(room), len(data) - at, chance.randrange(1, most))
        room[:count] = data[at : at + count]
        found += [(kind, call, bytes(body)) for kind, call, body in reader.received(count)]
        at += count
    assert found == wanted


def test_a_large_body_is_not_copied_and_stays_as_it_was() -> None:
    reader = frames.FrameReader()
    bodies = [body for _, _, body in reader.feed(frames.frame(frames.RESULT, 1, b"a" * 200_000) * 2)]
    assert [type(body) for body in bodies] == [memoryview, memoryview]
    assert [bytes(body) for body in bodies] == [b"a" * 200_000] * 2
    assert all(body.readonly for body in bodies)


def test_the_runtime_cuts_frames_of_all_sizes() -> None:
    data, wanted = _stream()
    ours, theirs = socket.socketpair()
    sender = threading.Thread(target=theirs.sendall, args=(data,))
    sender.start()
    reader, found = asya_runtime.Frames(), list[tuple[int, int, bytes]]()
    while len(found) < len(wanted):
        some = reader.receive(ours)
        assert some is not None
        found += [(kind, call, bytes(body)) for kind, call, body in some]
    sender.join()
    theirs.close()
    assert found == wanted
    assert reader.receive(ours) is None
    ours.close()


@pytest.mark.parametrize("sent", [5, 100_000])
def test_the_runtime_sees_the_end_also_inside_a_frame(sent: int) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(frames.frame(frames.CALL, 1, b"x" * 150_000)[:sent])
    theirs.close()
    reader = asya_runtime.Frames()
    while (some := reader.receive(ours)) is not None:
        assert some == []
    ours.close()


@pytest.mark.parametrize("size", [0, 450, 32_768, 40_000])
def test_a_call_is_the_same_in_one_piece_and_in_two(size: int) -> None:
    payload = b"1" * size
    (kind, call, body), *rest = frames.FrameReader().feed(b"".join(frames.call_frame(9, b"{}", payload)))
    assert (kind, call, rest) == (frames.CALL, 9, [])
    assert asya_runtime.split_call(bytes(body)) == (b"{}", payload)
