"""RabbitMQ, by AMQP 0-9-1.

`transport` is the face; `session` keeps an engine alive through lost connections; `engine` says what an engine does,
and `fast` and `aiopika` are two, picked by `engines`; `consumer` hands out deliveries within the credit; `control`
declares and counts; `topology` and `ladder` are what exists at the broker, as data. `frames`, `settlements` and
`refusals` are shared by both engines. AMQP libraries: aiormq, which aio-pika is made of, is imported by `client`,
aio-pika itself by `admin`, and pamqp, a codec, by `fast` and `client`.
"""

from asya.transports.rabbitmq.transport import RabbitmqTransport

__all__ = ["RabbitmqTransport"]
