"""The slow side, where no broker is needed to see it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from asya.errors import ConnectionLostError, SettingsError, TransportError
from asya.transports.base import QueueSpec
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq.address import addresses
from asya.transports.rabbitmq.control import DECLARE_ATTEMPTS, Control
from asya.transports.rabbitmq.ladder import Ladder
from asya.transports.settings import RabbitmqSettings


def control(names: QueueNames | None = None, management_url: str | None = None) -> Control:
    settings = RabbitmqSettings(management_url=management_url)
    return Control(names or QueueNames("ns"), "asya_ns", Ladder(), settings, addresses(settings))


@pytest.mark.parametrize(
    ("failures", "attempts"), [(0, 1), (1, 2), (DECLARE_ATTEMPTS - 1, DECLARE_ATTEMPTS), (99, DECLARE_ATTEMPTS)]
)
async def test_declaring_is_tried_again_when_the_connection_breaks(
    monkeypatch: pytest.MonkeyPatch, failures: int, attempts: int
) -> None:
    made: list[Sequence[QueueSpec]] = []

    async def declare(_: Control, queues: Sequence[QueueSpec]) -> None:
        made.append(queues)
        if len(made) <= failures:
            raise ConnectionLostError("INTERNAL_ERROR")

    monkeypatch.setattr(Control, "_declare", declare)
    if failures < DECLARE_ATTEMPTS:
        await control().declare([QueueSpec("a")])
    else:
        with pytest.raises(ConnectionLostError):
            await control().declare([QueueSpec("a")])

    assert made == [[QueueSpec("a")]] * attempts


async def test_other_errors_are_final(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    async def declare(*_: object) -> None:
        made.append(1)
        raise TransportError("exists otherwise")

    monkeypatch.setattr(Control, "_declare", declare)
    with pytest.raises(TransportError, match="exists otherwise"):
        await control().declare([QueueSpec("a")])

    assert made == [1]


async def test_names_that_would_collide_are_refused_before_anything_is_made() -> None:
    with pytest.raises(TransportError, match="would share the queue"):
        await control(QueueNames("ns", "dash")).declare([QueueSpec("a"), QueueSpec("a-dlq")])


@pytest.mark.parametrize("url", ["amqp://a", "http://", "a.example", "http://u:hush@a:port"])
def test_a_management_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="ASYA_RABBITMQ_MANAGEMENT_URL") as caught:
        control(management_url=url)

    assert "hush" not in str(caught.value)


def test_who_only_moves_messages_does_not_load_aio_pika() -> None:
    code = (
        "import sys; from asya.transports import QueueNames; from asya.transports.settings import RabbitmqSettings; "
        "from asya.transports.rabbitmq import RabbitmqTransport; "
        "RabbitmqTransport(QueueNames('ns'), RabbitmqSettings(engine='aio-pika')); "
        "print('aiormq' in sys.modules, 'aio_pika' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.split() == ["True", "False"]
