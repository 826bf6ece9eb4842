"""What stands around an actor's pods: disruption budget, network policy, monitor."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asya.api.fields import MAX_LIST, Interval, LabelKey, LabelValue, Model, Text
from asya.api.passed_on import NetworkPolicyEgressRule

IntOrPercent = int | Text


class DisruptionBudget(Model):
    """How many pods may be missing while nodes are drained (PodDisruptionBudget, policy/v1): one of the two."""

    min_available: IntOrPercent | None = None
    """Fewest pods that stay, a number or a percentage as text. When absent, `maxUnavailable` counts."""
    max_unavailable: IntOrPercent | None = None
    """Most pods that go at once, a number or a percentage as text. When absent, `minAvailable` counts."""


class NetworkPolicySpec(Model):
    """What the pods may reach (NetworkPolicy, networking/v1). Broker, DNS and gateway are always let through."""

    enabled: bool | None = None
    """Compose a policy. When absent, as the platform says."""
    egress: Annotated[list[NetworkPolicyEgressRule], Field(max_length=MAX_LIST)] = []
    """What the handler calls besides (NetworkPolicyEgressRule, networking/v1), added to what the platform allows."""


class PodMonitorSpec(Model):
    """How the Prometheus operator reads the sidecar's metrics (PodMonitor, monitoring.coreos.com/v1)."""

    interval: Interval = "30s"
    """How often."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of the PodMonitor, by which a Prometheus picks it."""
