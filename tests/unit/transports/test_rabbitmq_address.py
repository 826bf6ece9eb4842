"""Settings to addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from asya.errors import DeniedError, SettingsError
from asya.settings import load
from asya.transports.rabbitmq.address import Address, Trust, addresses
from asya.transports.settings import RabbitmqSettings


def made(**environ: str) -> tuple[Address, ...]:
    return addresses(load(RabbitmqSettings, {f"ASYA_RABBITMQ_{name}": text for name, text in environ.items()}))


def test_defaults() -> None:
    assert made() == (Address("localhost", 5672, "guest", "guest", "/", 30, None),)


@pytest.mark.parametrize(
    ("environ", "hosts"),
    [
        ({"HOST": "a,b:5673, [::1]:7"}, [("a", 5672), ("b", 5673), ("::1", 7)]),
        ({"HOST": "a,b:5673", "PORT": "9"}, [("a", 9), ("b", 5673)]),
        ({"HOST": "a", "TLS": "true"}, [("a", 5671)]),
        ({"HOST": "a", "TLS": "true", "PORT": "9"}, [("a", 9)]),
        ({"URL": "amqp://u:p@a:1,b:2,c/v", "HOST": "x"}, [("a", 1), ("b", 2), ("c", 5672)]),
        ({"URL": "amqps://a"}, [("a", 5671)]),
        ({"URL": "amqp://[::1]:8/"}, [("::1", 8)]),
    ],
)
def test_hosts_in_the_order_they_are_tried(environ: dict[str, str], hosts: list[tuple[str, int]]) -> None:
    assert [(address.host, address.port) for address in made(**environ)] == hosts


@pytest.mark.parametrize(
    ("environ", "username", "password", "vhost"),
    [
        ({"URL": "amqp://a"}, "guest", "guest", "/"),
        ({"URL": "amqp://a/"}, "guest", "guest", "/"),
        ({"URL": "amqp://a/%2F"}, "guest", "guest", "/"),
        ({"URL": "amqp://u:p%40%2F%25@a/team%2Fone"}, "u", "p@/%", "team/one"),
        ({"USERNAME": "u", "PASSWORD": "p:@/", "VHOST": "team one"}, "u", "p:@/", "team one"),
    ],
)
def test_login_survives_the_way_to_the_clients_url(
    environ: dict[str, str], username: str, password: str, vhost: str
) -> None:
    (address,) = made(**environ)

    assert (address.username, address.password, address.vhost) == (username, password, vhost)
    assert made(URL=address.url) == (address,)


def test_credentials_from_files(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")

    (address,) = made(PASSWORD_FILE=str(tmp_path / "password"))

    assert address.password == "from a file"


def test_no_password_in_texts() -> None:
    (address,) = made(URL="amqp://u:hush@a/v")

    assert str(address) == "amqp://u@a:5672/v"
    assert "hush" not in repr(address)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"URL": "http://a"}, "ASYA_RABBITMQ_URL is not an amqp:// or amqps:// URL"),
        ({"URL": "amqp://"}, "ASYA_RABBITMQ_URL is not an amqp:// or amqps:// URL"),
        ({"URL": "amqp://u:hush@a/v?heartbeat=3"}, "ASYA_RABBITMQ_URL has parameters"),
        ({"URL": "amqp://u:hush@a:port/"}, "ASYA_RABBITMQ_URL names the host 'a:port'"),
        ({"HOST": "a:99999"}, "ASYA_RABBITMQ_HOST names the host 'a:99999'"),
        ({"HOST": " , "}, "ASYA_RABBITMQ_HOST names no host"),
    ],
)
def test_what_cannot_be_understood_is_named_without_secrets(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        made(**environ)

    assert problem in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("500ms", 1), ("1500ms", 2)])
def test_heartbeat_is_whole_seconds(text: str, seconds: int) -> None:
    assert made(HEARTBEAT=text)[0].heartbeat == seconds


def test_tls_files_that_are_not_there_are_named() -> None:
    with pytest.raises(DeniedError, match=r"/nowhere/ca\.pem"):
        Trust(ca_file=Path("/nowhere/ca.pem")).context()
