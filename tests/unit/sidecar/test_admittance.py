"""How long the sidecar waits to be let in; real brokers that let it in late are in tests/e2e."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from asya.errors import DeniedError, TransportError
from asya.transports import Transport
from asya.transports.base import Link
from asya_sidecar.admittance import enter


@dataclass
class FakeTransport:
    """Refuses what it is told to refuse, the last refusal for ever."""

    refusals: list[Exception]
    link: Link = field(default_factory=Link)
    asked: int = 0

    async def open(self) -> None:
        self.asked += 1
        raise self.refusals[min(self.asked, len(self.refusals)) - 1]


async def test_it_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    transport = FakeTransport([DeniedError("no such user"), DeniedError("not that vhost")])
    with pytest.raises(DeniedError, match="not that vhost"):
        await enter(cast("Transport", transport), within=1.0)
    assert transport.asked > 2
    assert (transport.link.connected, transport.link.reason) == (False, "not that vhost")
    assert [record.message for record in caplog.records] == [
        "not let in yet, trying again for up to 1 s: no such user",
        "not let in yet, trying again for up to 1 s: not that vhost",
    ]


@pytest.mark.parametrize("error", [TransportError("no database of ours"), ValueError("a mistake of ours")])
async def test_what_is_no_refusal_is_not_waited_for(error: Exception) -> None:
    transport: Any = FakeTransport([error])
    with pytest.raises(type(error)):
        await enter(transport)
    assert transport.asked == 1
