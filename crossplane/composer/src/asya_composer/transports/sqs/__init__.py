"""SQS: objects of the namespaced AWS providers."""

from __future__ import annotations

from asya_composer.transports.sqs.transport import Sqs

__all__ = ["Sqs"]
