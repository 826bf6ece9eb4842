"""The transports under the one suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.contract.transports.harness import (
    Harness,
    MemoryHarness,
    PubsubHarness,
    RabbitmqHarness,
    SqliteHarness,
)
from tests.contract.transports.redis_harness import RedisHarness
from tests.contract.transports.sqs_harness import SqsHarness

ENGINES = ("fast", "aio-pika")


@pytest.fixture
def _harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    match request.param:
        case "memory":
            return MemoryHarness()
        case "sqlite":
            return SqliteHarness(tmp_path)
        case ("rabbitmq", engine):
            url = request.getfixturevalue("rabbitmq_url")
            return RabbitmqHarness(url, request.getfixturevalue("rabbitmq_broker").management_url, engine)
        case ("pubsub", receive):
            return PubsubHarness(request.getfixturevalue("pubsub_endpoint"), receive)
        case "redis":
            return RedisHarness(request.getfixturevalue("redis_url"))
        case "sqs" | "sqs-fifo":
            return SqsHarness(request.getfixturevalue("moto_server"), fifo=request.param == "sqs-fifo")
        case other:
            raise AssertionError(other)


@pytest_asyncio.fixture
async def harness(_harness: Harness) -> AsyncIterator[Harness]:
    """A broker with a namespace of its own, cleaned up afterwards."""
    yield _harness
    await _harness.end()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that takes `harness` runs on every transport."""
    if "_harness" in metafunc.fixturenames:
        metafunc.parametrize(
            "_harness",
            [
                "memory",
                "sqlite",
                "redis",
                "sqs",
                pytest.param("sqs-fifo", marks=pytest.mark.variant),
                pytest.param(("pubsub", "pull"), id="pubsub-pull"),
                pytest.param(("pubsub", "stream"), id="pubsub-stream", marks=pytest.mark.variant),
                *(
                    pytest.param(("rabbitmq", engine), marks=pytest.mark.rabbitmq, id=f"rabbitmq-{engine}")
                    for engine in ENGINES
                ),
            ],
            indirect=True,
        )
