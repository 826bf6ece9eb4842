"""RabbitMQ: objects of the messaging topology operator."""

from __future__ import annotations

from asya_composer.transports.rabbitmq.transport import Rabbitmq

__all__ = ["Rabbitmq"]
