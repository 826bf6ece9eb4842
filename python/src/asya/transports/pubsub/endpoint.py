"""From the setting to where Pub/Sub is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from asya.errors import SettingsError

GOOGLE: Final = "pubsub.googleapis.com:443"
_GOOGLES: Final = ".googleapis.com"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host and port; `plain`: without TLS and without credentials, as emulators want it."""

    address: str
    plain: bool = False


def endpoint(given: str | None) -> Endpoint:
    """Return where to connect to: Google, or what ASYA_PUBSUB_ENDPOINT says.

    ``host:port`` is an emulator's, as in PUBSUB_EMULATOR_HOST, unless the host is one of Google's or the address begins
    with ``https://``.

    Raises:
        SettingsError: It is no address.
    """
    if given is None:
        return Endpoint(GOOGLE)
    parts = urlsplit(given if "://" in given else f"//{given}")
    try:
        port, host = parts.port, parts.hostname
    except ValueError:
        port = host = None
    plain = parts.scheme == "http" or (not parts.scheme and not (host or "").endswith(_GOOGLES))
    if not host or parts.scheme not in {"", "http", "https"} or parts.path.strip("/") or (plain and port is None):
        raise SettingsError([f"ASYA_PUBSUB_ENDPOINT is {given!r}; expected host:port or https://host"])
    name = f"[{host}]" if ":" in host else host
    return Endpoint(f"{name}:{port or 443}", plain)
