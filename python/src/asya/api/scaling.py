"""`spec.scaling`: how many replicas there are. Names and meaning as in KEDA's ScaledObject (keda.sh/v1alpha1)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from asya.api.fields import INT32, MAX_LIST, MAX_REPLICAS, Label, Model, NumberText, Subdomain, Text

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
Seconds = Annotated[int, Field(ge=0, le=INT32)]


class FallbackSpec(Model):
    """What to do while the queue's length cannot be read."""

    failure_threshold: Annotated[int, Field(ge=1, le=1000)]
    """How many readings in a row must fail first."""
    replicas: Replicas
    """Replicas to run then."""
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"
    """`static` runs `replicas`; the others keep the present number, always or when it is higher or lower."""


class ScalingStep(Model):
    """How fast replicas may be added or removed (HPAScalingPolicy, autoscaling/v2)."""

    type: Literal["Pods", "Percent"]
    """Whether `value` counts pods or percent of the present number."""
    value: Annotated[int, Field(ge=1, le=INT32)]
    """Pods or percent per period."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)]
    """Length of the period, in seconds."""


class ScalingDirection(Model):
    """One direction of scaling (HPAScalingRules, autoscaling/v2)."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """How long recommendations are looked back at, in seconds. When absent, the autoscaler's own: 0 up, 300 down."""
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Which of the policies counts: the one with most change, with least, or none."""
    policies: list[ScalingStep] = []
    """Limits of speed. When empty, the platform's."""


class ScalingBehavior(Model):
    """How fast replicas come and go (HorizontalPodAutoscalerBehavior, autoscaling/v2)."""

    scale_up: ScalingDirection = ScalingDirection()
    """Adding replicas."""
    scale_down: ScalingDirection = ScalingDirection()
    """Removing replicas."""


class AdvancedScaling(Model):
    """KEDA's `advanced` part: combining triggers, and speed."""

    restore_to_original_replica_count: bool = False
    """Go back to the number of replicas before scaling began when the ScaledObject is deleted."""
    formula: Text | None = None
    """Expression over the triggers' names that gives one metric; our own trigger is called `queue`. Needs `target`.
    When absent, triggers count each for itself."""
    target: NumberText | None = None
    """Value of the formula per replica, a number as text. When absent, there is no formula."""
    activation_target: NumberText | None = None
    """Value of the formula above which the first replica starts, a number as text. When absent, 0."""
    metric_type: Literal["AverageValue", "Value", "Utilization"] | None = None
    """How the formula's value is compared with `target`. When absent, AverageValue."""
    behavior: ScalingBehavior = ScalingBehavior()
    """How fast replicas come and go."""


class AuthenticationRef(Model):
    """A KEDA TriggerAuthentication."""

    name: Subdomain
    """Its name."""
    kind: Literal["TriggerAuthentication", "ClusterTriggerAuthentication"] = "TriggerAuthentication"
    """Whether it lives in the namespace or in the cluster."""


class TriggerSpec(Model):
    """One more trigger beside the queue, passed on to KEDA."""

    type: Text
    """KEDA's name of the scaler, such as cron or prometheus."""
    metadata: dict[str, str]
    """Parameters of the scaler; all values are text."""
    name: Label | None = None
    """Name for use in `advanced.formula`; not `queue`. When absent, the trigger cannot be named there."""
    metric_type: Literal["AverageValue", "Value", "Utilization"] | None = None
    """How the metric is compared. When absent, the scaler's own default."""
    use_cached_metrics: bool = False
    """Read the metric once per polling interval only."""
    authentication_ref: AuthenticationRef | None = None
    """Where its credentials are. When absent, it needs none."""


class ScalingSpec(Model):
    """How many replicas there are: from zero up with the queue, and back."""

    enabled: bool = True
    """Scale by the queue. When false, `spec.replicas` replicas run all the time."""
    min_replica_count: Replicas = 0
    """Fewest replicas; 0 lets an idle actor cost nothing."""
    max_replica_count: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = 10
    """Most replicas."""
    idle_replica_count: Literal[0] | None = None
    """0: go to zero when idle although `minReplicaCount` is higher. When absent, `minReplicaCount` stay."""
    polling_interval: Annotated[int, Field(ge=1, le=INT32)] = 30
    """How often the queue is looked at, in seconds."""
    cooldown_period: Seconds = 300
    """How long the queue must be idle before the last replica goes, in seconds."""
    initial_cooldown_period: Seconds = 0
    """How long after creation the actor is not scaled to zero, in seconds."""
    queue_length: Annotated[int, Field(ge=1, le=INT32)] = 5
    """Messages per replica: with a backlog of n, n / queueLength replicas are wanted, rounded up."""
    activation_queue_length: Annotated[int, Field(ge=0, le=INT32)] = 0
    """Backlog above which the first replica starts."""
    scale_on_in_flight: bool = True
    """Count messages that are being worked on, so that a long call is not scaled away."""
    scale_on_delayed: bool = False
    """Count messages that wait for a retry."""
    paused: bool = False
    """Leave the number of replicas as it is."""
    paused_replica_count: Replicas | None = None
    """Hold exactly this many replicas. When absent, `paused` decides."""
    fallback: FallbackSpec | None = None
    """What to do while the queue's length cannot be read. When absent, the number of replicas stays."""
    advanced: AdvancedScaling = AdvancedScaling()
    """Combining triggers, and speed."""
    additional_triggers: Annotated[list[TriggerSpec], Field(max_length=MAX_LIST)] = []
    """More triggers beside the queue; the one that wants most replicas wins, unless a formula combines them."""
