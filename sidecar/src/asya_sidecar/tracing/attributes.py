"""What spans say: the messaging conventions of OpenTelemetry (1.44), and `asya.*`.

One rule departs from them: a RabbitMQ destination is named by its queue on both sides, so that what is sent to and what
is received from carry one name.
"""

from __future__ import annotations

import msgspec
from opentelemetry.util.types import AttributeValue

from asya.wire import Raw, headers
from asya_sidecar.decide import Send
from asya_sidecar.hop import Hop

SYSTEMS = {"rabbitmq": "rabbitmq", "sqs": "aws_sqs", "pubsub": "gcp_pubsub"}
"""`messaging.system` by transport; others go by their own name."""

Attributes = dict[str, AttributeValue]


class Describer:
    """Attributes of one actor's spans."""

    def __init__(self, actor: str, queue: str, transport: str) -> None:
        self._actor, self._queue, self._system = actor, queue, SYSTEMS.get(transport, transport)

    def received(self, hop: Hop, operation: str) -> Attributes:
        """Describe `receive`, `process` or `settle` of the delivery."""
        envelope = hop.envelope
        found = self._message(operation, self._queue, envelope.id, envelope.parent_id)
        found["messaging.message.body.size"] = len(envelope.payload)
        found["messaging.message.envelope.size"] = len(hop.delivery.body)
        found["asya.actor"], found["asya.queue"], found["asya.hop"] = self._actor, self._queue, envelope.hop
        found["asya.deliveries"] = hop.delivery.attempts
        status = envelope.status
        if status is not None:
            again = status.phase == "retrying" and status.actor == self._actor
            found["asya.attempt"] = status.attempt if again else 1
            if status.max_attempts:
                found["asya.max_attempts"] = status.max_attempts
        flow = _text(envelope.headers.get(headers.FLOW))
        if flow is not None:
            found["asya.flow"] = flow
        return found

    def sent(self, send: Send, queue: str, message_type: str) -> Attributes:
        """Describe `send` of one message."""
        envelope = send.envelope
        found = self._message("send", queue, envelope.id, envelope.parent_id)
        found["messaging.message.body.size"] = len(envelope.payload)
        found["asya.actor"], found["asya.destination_queue"] = self._actor, queue
        found["asya.message_type"] = message_type
        if self._system == "rabbitmq":
            found["messaging.rabbitmq.destination.routing_key"] = send.actor
        if send.delay:
            found["asya.delay_seconds"] = send.delay
        return found

    def created(self, hop: Hop) -> Attributes:
        """Describe `create` of a message that nobody traced before."""
        return self._message("create", self._queue, hop.envelope.id, hop.envelope.parent_id)

    def called(self) -> Attributes:
        """Describe the handler's call."""
        return {"asya.actor": self._actor}

    def _message(self, operation: str, queue: str, envelope_id: str, parent_id: str | None) -> Attributes:
        return {
            "messaging.system": self._system,
            "messaging.operation.type": operation,
            "messaging.operation.name": operation,
            "messaging.destination.name": queue,
            "messaging.message.id": envelope_id,
            "messaging.message.conversation_id": parent_id or envelope_id,
            "asya.envelope_id": envelope_id,
        }


def _text(value: Raw | None) -> str | None:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
