"""What all tests share: a real RabbitMQ, if one can be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.support.rabbitmq import Broker, BrokerUnavailableError, drop_vhost, ensure_installed, new_vhost


@dataclass(frozen=True)
class BrokerAddress:
    """Where the broker is. `management_url` is None where only an address for AMQP was given."""

    url: str
    management_url: str | None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker."""
    for item in items:
        if {"rabbitmq_broker", "own_broker"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.rabbitmq)


@pytest.fixture(scope="session")
def rabbitmq_installed() -> None:
    """Have Debian's broker, or skip; with CI=true a missing broker is a failure."""
    try:
        ensure_installed(os.environ)
    except BrokerUnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def rabbitmq_broker(request: pytest.FixtureRequest) -> Iterator[BrokerAddress]:
    """The broker of ASYA_TEST_RABBITMQ_URL (and ..._MANAGEMENT_URL), else a private one per test process."""
    given = os.environ.get("ASYA_TEST_RABBITMQ_URL")
    if given:
        yield BrokerAddress(given, os.environ.get("ASYA_TEST_RABBITMQ_MANAGEMENT_URL"))
        return
    request.getfixturevalue("rabbitmq_installed")
    with Broker() as broker:
        yield BrokerAddress(broker.url, broker.management_url)


@pytest.fixture(scope="module")
def rabbitmq_url(rabbitmq_broker: BrokerAddress) -> Iterator[str]:
    """AMQP URL with a virtual host of this test module's own; without the management API, the URL as it was given."""
    if rabbitmq_broker.management_url is None:
        yield rabbitmq_broker.url
        return
    url = new_vhost(rabbitmq_broker.url, rabbitmq_broker.management_url)
    yield url
    drop_vhost(url, rabbitmq_broker.management_url)


@pytest.fixture(scope="session")
def rabbitmq_management_url(rabbitmq_broker: BrokerAddress) -> str:
    """Address of the broker's management API, or skip."""
    if rabbitmq_broker.management_url is None:
        pytest.skip("ASYA_TEST_RABBITMQ_URL is given without ASYA_TEST_RABBITMQ_MANAGEMENT_URL")
    return rabbitmq_broker.management_url
