"""Pub/Sub: objects of the namespaced Google providers."""

from __future__ import annotations

from asya_composer.transports.pubsub.transport import Pubsub

__all__ = ["Pubsub"]
