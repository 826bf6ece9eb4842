"""From a transport's name to the transport; only the module that is asked for is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asya.errors import SettingsError
from asya.transports.naming import QueueNames, Style
from asya.transports.settings import TRANSPORTS, TransportSettings

if TYPE_CHECKING:
    from asya.transports.base import Transport

_STYLES: dict[str, Style] = {"underscore": "underscore", "dash": "dash"}


def queue_names(settings: TransportSettings) -> QueueNames:
    """Return how queues are called at the broker."""
    return QueueNames(settings.namespace, _STYLES[settings.queue_names], settings.crew_namespace)


def open_transport(settings: TransportSettings) -> Transport:
    """Return the transport that `settings` name, not yet connected (`await transport.open()`).

    Raises:
        SettingsError: Something this transport needs is not set.
    """
    names = queue_names(settings)
    match settings.transport:
        case "sqlite":
            from asya.transports.sqlite import SqliteTransport  # noqa: PLC0415  only what is asked for is loaded

            if settings.sqlite.path is None:
                raise SettingsError(
                    ["ASYA_SQLITE_PATH is not set; expected a file path, because ASYA_TRANSPORT is sqlite"]
                )
            return SqliteTransport(names, settings.sqlite)
        case "rabbitmq":
            from asya.transports.rabbitmq import RabbitmqTransport  # noqa: PLC0415  only what is asked for is loaded

            return RabbitmqTransport(names, settings.rabbitmq)
        case "pubsub":
            from asya.transports.pubsub import PubsubTransport  # noqa: PLC0415  only what is asked for is loaded

            return PubsubTransport(names, settings.pubsub)
        case "redis":
            from asya.transports.redis import RedisTransport  # noqa: PLC0415  only what is asked for is loaded

            if settings.redis.url is None:
                raise SettingsError(["ASYA_REDIS_URL is not set; expected a URL, because ASYA_TRANSPORT is redis"])
            return RedisTransport(names, settings.redis)
        case "sqs":
            from asya.transports.sqs import SqsTransport  # noqa: PLC0415  only what is asked for is loaded

            if settings.sqs.region is None:
                raise SettingsError(
                    ["ASYA_AWS_REGION is not set; expected an AWS region, because ASYA_TRANSPORT is sqs"]
                )
            return SqsTransport(names, settings.sqs)
        case other:
            raise SettingsError(
                [f"ASYA_TRANSPORT is {other!r}; expected {', '.join(TRANSPORTS[:-1])} or {TRANSPORTS[-1]}"]
            )
