"""From a transport's name to the transport; only the module that is asked for is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asya.errors import SettingsError
from asya.transports.naming import QueueNames, Style

if TYPE_CHECKING:
    from asya.transports.base import Transport
    from asya.transports.settings import TransportSettings


def open_transport(settings: TransportSettings) -> Transport:
    """Return the transport that `settings` name, not yet connected (`await transport.open()`).

    Raises:
        SettingsError: Something this transport needs is not set.
    """
    style: Style = "dash" if settings.queue_names == "dash" else "underscore"
    names = QueueNames(settings.namespace, style)
    if settings.transport == "sqlite":
        if settings.sqlite.path is None:
            raise SettingsError(["ASYA_SQLITE_PATH is not set; expected a file path, because ASYA_TRANSPORT is sqlite"])
        from asya.transports.sqlite import SqliteTransport  # noqa: PLC0415  only what is asked for is loaded

        return SqliteTransport(names, settings.sqlite)
    from asya.transports.rabbitmq import RabbitmqTransport  # noqa: PLC0415  only what is asked for is loaded

    return RabbitmqTransport(names, settings.rabbitmq)
