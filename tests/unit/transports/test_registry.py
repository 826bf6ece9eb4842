"""From settings to a transport."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asya.errors import SettingsError
from asya.settings import load
from asya.transports.pubsub import PubsubTransport
from asya.transports.rabbitmq import RabbitmqTransport
from asya.transports.redis import RedisTransport
from asya.transports.registry import open_transport
from asya.transports.settings import TRANSPORTS, TransportSettings
from asya.transports.sqlite import SqliteTransport
from asya.transports.sqs import SqsTransport


def settings(**variables: str) -> TransportSettings:
    return load(TransportSettings, {"ASYA_NAMESPACE": "shop", **variables})


def test_each_name_gives_its_transport(tmp_path: Path) -> None:
    path = str(tmp_path / "queue.db")
    given = {"ASYA_SQLITE_PATH": path, "ASYA_PUBSUB_PROJECT_ID": "p", "ASYA_AWS_REGION": "eu-west-1"}
    given["ASYA_REDIS_URL"] = "redis://localhost"
    made = {name: type(open_transport(settings(ASYA_TRANSPORT=name, **given))) for name in TRANSPORTS}

    assert made == {
        "rabbitmq": RabbitmqTransport,
        "sqs": SqsTransport,
        "pubsub": PubsubTransport,
        "redis": RedisTransport,
        "sqlite": SqliteTransport,
    }


@pytest.mark.parametrize(("style", "queue"), [("underscore", "asya_shop_resize"), ("dash", "asya-shop-resize")])
def test_names_follow_the_style(style: str, queue: str) -> None:
    made = open_transport(settings(ASYA_QUEUE_NAMES=style))

    assert isinstance(made, RabbitmqTransport)
    assert made._names.queue("resize") == queue


def test_what_is_missing_or_unknown_is_said() -> None:
    with pytest.raises(SettingsError, match="ASYA_SQLITE_PATH is not set"):
        open_transport(settings(ASYA_TRANSPORT="sqlite"))
    with pytest.raises(SettingsError, match="ASYA_PUBSUB_PROJECT_ID is not set"):
        open_transport(settings(ASYA_TRANSPORT="pubsub"))
    with pytest.raises(SettingsError, match="ASYA_AWS_REGION is not set"):
        open_transport(settings(ASYA_TRANSPORT="sqs"))
    with pytest.raises(SettingsError, match="ASYA_REDIS_URL is not set"):
        open_transport(settings(ASYA_TRANSPORT="redis"))
    with pytest.raises(SettingsError, match="'pigeon'; expected rabbitmq, "):
        open_transport(replace(settings(), transport="pigeon"))


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h:6379/0",
        "rediss://u:p%40@h.example/1?ssl_ca_certs=/ca.pem",
        "redis://[::1]:6379",
        "unix:///run/r",
    ],
)
def test_addresses_of_redis(url: str) -> None:
    assert settings(ASYA_TRANSPORT="redis", ASYA_REDIS_URL=url).redis.url == url


@pytest.mark.parametrize(
    "url", ["http://h", "redis://", "redis://h:port", "redis://h/zero", "redis://u:p@ss@h", "h:6379"]
)
def test_what_is_no_address_of_redis_is_said_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="ASYA_REDIS_URL") as caught:
        settings(ASYA_TRANSPORT="redis", ASYA_REDIS_URL=url)
    assert "p@ss" not in str(caught.value)
