"""A crew in a namespace of its own, at brokers where who sends makes up the name of its receiver's queue."""

from __future__ import annotations

from dataclasses import replace

from asya_composer.model import Context


def crew_elsewhere(context: Context) -> Context | None:
    """Return the same where the crew is; None when that is in the actor's namespace."""
    crew = context.settings.crew_namespace
    return None if crew in (None, context.namespace) else replace(context, namespace=crew)


def variables(context: Context) -> dict[str, str]:
    """Return what the sidecar is told of it."""
    there = crew_elsewhere(context)
    return {} if there is None else {"ASYA_CREW_NAMESPACE": there.namespace}
