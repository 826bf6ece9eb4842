"""RabbitMQ, by AMQP 0-9-1.

`transport` is the face; `session` keeps an engine alive through lost connections; `engine` says what an engine does and
`aiopika` is one; `consumer` hands out deliveries within the credit; `control` declares and counts; `topology` and
`ladder` are what exists at the broker, as data. AMQP libraries are imported by two modules: aiormq, which aio-pika is
made of, by `client`, and aio-pika itself by `admin`.
"""

from asya.transports.rabbitmq.transport import RabbitmqTransport

__all__ = ["RabbitmqTransport"]
