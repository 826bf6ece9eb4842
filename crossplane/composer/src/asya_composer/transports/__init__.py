"""One module per broker; they do not know each other."""

from __future__ import annotations

from asya_composer.errors import CompositionError
from asya_composer.model import Transport
from asya_composer.settings import TransportName

__all__ = ["transport"]


def transport(name: TransportName) -> Transport:
    """Return the transport of that name.

    Raises:
        CompositionError: This version has not got it.
    """
    match name:
        case "rabbitmq":
            from asya_composer.transports.rabbitmq import Rabbitmq  # noqa: PLC0415  only what is asked for is loaded

            return Rabbitmq()
        case _:
            raise CompositionError("spec.transport", f"{name} is not supported by this version")
