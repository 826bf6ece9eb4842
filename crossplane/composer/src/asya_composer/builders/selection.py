"""How the actor's pods are found. A Deployment's selector cannot change later, so it has only what never does."""

from __future__ import annotations

from asya_composer.model import Context
from asya_composer.objects import ACTOR, TRANSPORT


def every_pod(context: Context) -> dict[str, str]:
    """Return the labels of all the actor's pods."""
    return {ACTOR: context.actor.name}


def own_pods(context: Context) -> dict[str, str]:
    """Return the labels of its pods on this transport."""
    return {**every_pod(context), TRANSPORT: context.transport}
