"""Ports that tests give to servers: nobody else may take one before the server listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.support.host import free_port

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_two_are_the_same() -> None:
    found = [free_port() for _ in range(200)]
    assert len(set(found)) == len(found)


@pytest.mark.skipif(not RANGE.exists(), reason="only Linux says which ports it gives to who connects")
def test_who_connects_does_not_take_one() -> None:
    first, _ = map(int, RANGE.read_text().split())
    assert max(free_port() for _ in range(200)) < max(first, 17_000)


def test_one_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = free_port(), free_port()
    monkeypatch.setattr("tests.support.host._given", set())
    monkeypatch.setattr("tests.support.host._ports", lambda: [taken, free])
    with socket.socket() as server:
        server.bind(("127.0.0.1", taken))
        assert free_port() == free
