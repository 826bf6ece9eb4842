"""No dead field: each one that a manifest may have changes what is composed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from tests.compose.calls import Answer, Manifest, actor, call, platform, settled
from tests.compose.fields import Path, every_field
from tests.compose.test_moving import SQS

from asya.api import ActorSpec
from asya.api.workload import PODS_OWN

FIELDS = list(every_field(ActorSpec))

# What must stand beside a field for it to be allowed, or for it to count.
BESIDE: Mapping[Path, Manifest] = {
    ("replicas",): {"scaling": {"enabled": False}},
    ("volumeMounts",): {"volumes": [{"name": "changed", "emptyDir": {}}]},
    ("scaling", "idleReplicaCount"): {"scaling": {"minReplicaCount": 1}},
    **{
        ("scaling", "advanced", name): {"scaling": {"advanced": {"formula": "queue", "target": "5"}}}
        for name in ("formula", "target", "activationTarget", "metricType")
    },
    ("resiliency", "rules"): {"resiliency": {"policies": {"changed": {"maxAttempts": 3}}}},
    ("resiliency", "circuitBreaker", "maxOpenFor"): {"resiliency": {"circuitBreaker": {"openFor": "1s"}}},
    ("resiliency", "destinations", "circuitBreaker", "maxOpenFor"): {
        "resiliency": {"destinations": {"changed": {"circuitBreaker": {"openFor": "1s"}}}}
    },
    ("sidecar", "prefetch"): {"sidecar": {"concurrency": 1}},
    ("workloadRef",): {"workloadRef": {"name": "theirs", "port": 8000}},
}
# Values of their own, where the general one would not be allowed.
VALUES: Mapping[Path, Any] = {
    ("actor",): {"actor": "changed"},
    ("scaling", "idleReplicaCount"): {"scaling": {"idleReplicaCount": 0}},
    ("podDisruptionBudget", "maxUnavailable"): {"podDisruptionBudget": {"maxUnavailable": 2}},
    ("networkPolicy", "enabled"): {"networkPolicy": {"enabled": False}},
    ("envFrom", "prefix"): {"envFrom": [{"prefix": "CHANGED", "secretRef": {"name": "changed"}}]},
    ("resiliency", "circuitBreaker", "minCalls"): {
        "resiliency": {"circuitBreaker": {"minCalls": 21, "failureRatio": 0.5}}
    },
    ("resiliency", "destinations", "circuitBreaker", "minCalls"): {
        "resiliency": {"destinations": {"changed": {"circuitBreaker": {"minCalls": 21, "failureRatio": 0.5}}}}
    },
}
NOT_ON_RABBITMQ = {("scaling", "scaleOnDelayed"): "spec.scaling.scaleOnDelayed"}
ELSEWHERE = {
    ("flavors",): "tests/compose/test_compose.py, TestFlavors",
    ("transport",): "tests/compose/test_moving.py",
}
# The same of an actor that is bound to somebody else's workload.
BOUND: Manifest = {"workloadRef": {"name": "theirs", "port": 8000}}
BESIDE_BOUND: Mapping[Path, Manifest] = {
    **BESIDE,
    ("replicas",): {
        "scaling": {"enabled": False},
        "resiliency": {"rateLimit": {"rate": "9/s", "scope": "actor"}},
    },
}
ELSEWHERE_BOUND = {
    **ELSEWHERE,
    ("serviceAccountName",): "test_a_bound_actor_has_the_account_of_its_workload",
}


def merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: merged(below[key], value) if key in below else value for key, value in above.items()}}
    return above


def beside(path: Path, table: Mapping[Path, Manifest] = BESIDE) -> Manifest:
    return next((value for start, value in table.items() if path[: len(start)] == start), {})


@cache
def there(*, bound: bool) -> dict[str, Manifest]:
    """What exists once an actor is at work: at first not all is composed."""
    return settled({**actor(), "spec": BOUND} if bound else actor(), platform(podMonitor={}))


@pytest.mark.parametrize(("path", "value"), FIELDS, ids=[".".join(path) for path, _ in FIELDS])
def test_a_field_changes_what_is_composed(path: Path, value: Manifest) -> None:
    if path in ELSEWHERE:
        return
    before = actor()
    if path[0] == "workloadRef":
        before["spec"] = {}  # it takes the place of image and handler
    before["spec"] = merged(before["spec"], beside(path))
    after = {**before, "spec": merged(before["spec"], VALUES.get(path, value))}
    settings = platform(podMonitor={})

    then, now = (call(each, settings, observed=there(bound=False)) for each in (before, after))

    assert not then.refused, then.refused
    if path in NOT_ON_RABBITMQ:
        assert now.refused[0].startswith(NOT_ON_RABBITMQ[path])
        return
    assert not now.refused, now.refused
    assert now.resources != then.resources


@pytest.mark.parametrize(("path", "value"), FIELDS, ids=[".".join(path) for path, _ in FIELDS])
def test_a_field_of_a_bound_actor_counts_or_is_refused(path: Path, value: Manifest) -> None:
    if path in ELSEWHERE_BOUND or path[0] == "workloadRef":
        return
    value, settings = VALUES.get(path, value), platform(podMonitor={})
    if path[0] in PODS_OWN:
        (fatal,) = call({**actor(), "spec": {**BOUND, **value}}, settings).refused
        assert fatal.startswith(f"spec.{path[0]}: counts only without workloadRef")
        return
    spec = {**BOUND, **beside(path, BESIDE_BOUND)}

    specs = (spec, merged(spec, value))
    then, now = (call({**actor(), "spec": each}, settings, observed=there(bound=True)) for each in specs)

    assert not then.refused, then.refused
    if path in NOT_ON_RABBITMQ:
        assert now.refused[0].startswith(NOT_ON_RABBITMQ[path])
        return
    assert not now.refused, now.refused
    assert now.resources != then.resources


def test_a_bound_actor_has_the_account_of_its_workload() -> None:
    settings = platform()
    settings["transports"]["sqs"] = SQS

    def bound(**spec: str) -> Answer:
        return call({**actor(), "spec": {**BOUND, "transport": "sqs", **spec}}, settings)

    assert bound().refused[0].startswith("spec.serviceAccountName: missing; expected the service account")
    one, other = bound(serviceAccountName="one"), bound(serviceAccountName="other")
    assert not one.refused, one.refused
    assert one.resources != other.resources


def test_the_tables_name_fields_that_exist() -> None:
    known = {path[:length] for path, _ in FIELDS for length in range(1, len(path) + 1)}
    assert set(BESIDE) | set(VALUES) | set(NOT_ON_RABBITMQ) | set(ELSEWHERE_BOUND) <= known
    assert {(name,) for name in PODS_OWN} <= known


def test_a_field_that_changes_nothing_would_be_seen() -> None:
    assert call(actor()).resources == call(actor()).resources


def test_labels_are_copied_to_everything() -> None:
    answer = call(actor(metadata={"labels": {"team": "vision"}}))
    assert all(each["metadata"]["labels"]["team"] == "vision" for each in answer.resources.values())
    assert answer.resources["rabbitmq-deployment"]["spec"]["template"]["metadata"]["labels"]["team"] == "vision"
