"""From settings to the addresses that are tried in turn. Does not belong here: any connecting."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from asya.errors import DeniedError, SettingsError
from asya.transports.settings import RabbitmqSettings

if TYPE_CHECKING:
    import ssl

PORT, TLS_PORT = 5672, 5671
_URL = "ASYA_RABBITMQ_URL"


@dataclass(frozen=True, slots=True)
class Trust:
    """Files for TLS: authorities to trust (the system's when None), and the client's own certificate and key."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a connection needs; made anew each time, so that renewed files are seen at the next connect.

        Raises:
            DeniedError: A file is missing or unusable.
        """
        import ssl  # noqa: PLC0415  it is large, and only addresses with TLS need it

        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:
            files = ", ".join(str(path) for path in (self.ca_file, self.cert_file, self.key_file) if path)
            raise DeniedError(f"TLS files cannot be used ({files}): {error}") from error
        return context


@dataclass(frozen=True, slots=True)
class Address:
    """One host of the broker, and how to log in there. `trust` is None without TLS; `heartbeat` in seconds."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    vhost: str
    heartbeat: int
    trust: Trust | None = None

    @property
    def url(self) -> str:
        """The address as an AMQP URL, password included: for clients, never for logs."""
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
        return f"{self._scheme}://{login}@{self._netloc}/{quote(self.vhost, safe='') if self.vhost != '/' else ''}"

    def __str__(self) -> str:
        return f"{self._scheme}://{self.username}@{self._netloc}/{self.vhost if self.vhost != '/' else ''}"

    @property
    def _scheme(self) -> str:
        return "amqp" if self.trust is None else "amqps"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def addresses(settings: RabbitmqSettings) -> tuple[Address, ...]:
    """Return the hosts to try, in order. A URL beats the single parts and may list several hosts.

    Raises:
        SettingsError: The URL or a host cannot be understood.
    """
    trust = Trust(settings.ca_file, settings.cert_file, settings.key_file)
    heartbeat = min(65535, max(1, math.ceil(settings.heartbeat_seconds)))
    if settings.url is not None:
        return _from_url(settings.url, trust, heartbeat)
    hosts = _hosts(settings.hosts, settings.port or (TLS_PORT if settings.tls else PORT), "ASYA_RABBITMQ_HOST")
    if not hosts:
        raise SettingsError(["ASYA_RABBITMQ_HOST names no host; expected host names separated by commas"])
    return tuple(
        Address(
            host,
            port,
            settings.username,
            settings.password,
            settings.vhost,
            heartbeat,
            trust if settings.tls else None,
        )
        for host, port in hosts
    )


def _from_url(url: str, trust: Trust, heartbeat: int) -> tuple[Address, ...]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SettingsError([f"{_URL} cannot be understood: {error}"]) from None
    if parts.scheme not in {"amqp", "amqps"} or not parts.netloc:
        raise SettingsError([f"{_URL} is not an amqp:// or amqps:// URL (its value is not shown)"])
    if parts.query or parts.fragment:
        raise SettingsError([f"{_URL} has parameters after '?' or '#'; expected the ASYA_RABBITMQ_ variables instead"])
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    tls = parts.scheme == "amqps"
    return tuple(
        Address(
            host,
            port,
            unquote(username) or "guest",
            unquote(password) or "guest",
            unquote(parts.path.removeprefix("/")) or "/",
            heartbeat,
            trust if tls else None,
        )
        for host, port in _hosts(hosts.split(","), TLS_PORT if tls else PORT, _URL)
    )


def _hosts(texts: Iterable[str], default_port: int, variable: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for text in texts:
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host:
            raise SettingsError([f"{variable} names the host {text!r}; expected name, name:port or [IPv6]:port"])
        found.append((host, port or default_port))
    return found
