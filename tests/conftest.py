"""What all tests share: the brokers and servers that can be had here."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest
from tests.support import pubsub, redis
from tests.support.host import NotInstalledError
from tests.support.moto_server import ENVIRONMENT, MotoServer
from tests.support.rabbitmq import (
    SERVER,
    BrokerAddress,
    drop_vhost,
    ensure_installed,
    new_vhost,
    shared,
)

# Times are no property of the code: a busy machine is no counterexample.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_report_header() -> str:
    """Say which broker the tests will use, and what is set up for it."""
    if os.environ.get("ASYA_TEST_RABBITMQ_URL"):
        return "RabbitMQ: the one of ASYA_TEST_RABBITMQ_URL"
    if SERVER.exists():
        return f"RabbitMQ: private nodes of {SERVER} on free loopback ports, from first need to the end of the tests"
    return "RabbitMQ: not here yet; installed by apt-get when allowed (root on Debian), else its tests are skipped"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker."""
    for item in items:
        if {"rabbitmq_installed", "rabbitmq_broker", "own_broker"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.rabbitmq)


@pytest.fixture(scope="session")
def pubsub_endpoint() -> Iterator[str]:
    """Google's Pub/Sub emulator: the one of ASYA_TEST_PUBSUB_ENDPOINT, else a private one; or skip."""
    try:
        with pubsub.running() as endpoint:
            yield endpoint
    except pubsub.EmulatorUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def redis_installed() -> None:
    """Have Debian's Redis, or skip; with CI=true a missing one is a failure."""
    try:
        redis.ensure_installed(os.environ)
    except NotInstalledError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of the Redis of ASYA_TEST_REDIS_URL, else of a private one."""
    if given := os.environ.get(redis.GIVEN):
        yield given
        return
    request.getfixturevalue("redis_installed")
    with redis.Server() as server:
        yield server.url


@pytest.fixture(scope="session")
def rabbitmq_installed() -> None:
    """Have Debian's broker, or skip; with CI=true a missing broker is a failure."""
    try:
        ensure_installed(os.environ)
    except NotInstalledError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def rabbitmq_broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrokerAddress]:
    """The broker of ASYA_TEST_RABBITMQ_URL (and ..._MANAGEMENT_URL), else a private one of this run of the tests."""
    given = os.environ.get("ASYA_TEST_RABBITMQ_URL")
    if given:
        yield BrokerAddress(given, os.environ.get("ASYA_TEST_RABBITMQ_MANAGEMENT_URL"))
        return
    request.getfixturevalue("rabbitmq_installed")
    # Test processes of one run have folders side by side.
    own = tmp_path_factory.getbasetemp()
    with shared(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) as address:
        yield address


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


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    """SQS and S3 as moto plays them, a process of its own for these tests."""
    with MotoServer() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield server
