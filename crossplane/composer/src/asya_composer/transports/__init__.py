"""One module per broker; they do not know each other."""

from __future__ import annotations

from asya_composer.model import Transport
from asya_composer.settings import TransportName

__all__ = ["transport"]


def transport(name: TransportName) -> Transport:
    """Return the transport of that name."""
    match name:
        case "rabbitmq":
            from asya_composer.transports.rabbitmq import Rabbitmq  # noqa: PLC0415  only what is asked for is loaded

            return Rabbitmq()
        case "sqs":
            from asya_composer.transports.sqs import Sqs  # noqa: PLC0415

            return Sqs()
        case "pubsub":
            from asya_composer.transports.pubsub import Pubsub  # noqa: PLC0415

            return Pubsub()
