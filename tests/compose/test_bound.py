"""Actors that are bound to somebody else's workload: one at a time scales it, as the account that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from tests.compose.calls import Answer, Manifest, actor, as_observed, call, platform, settled
from tests.compose.cloud.actors import PUBSUB, SQS

LLM = {"name": "llm", "port": 8000}


def bound(name: str = "resize", *, created: str = "", workload: Mapping[str, Any] = LLM, **spec: Any) -> Manifest:
    found = actor(name, metadata={"creationTimestamp": created} if created else None, workloadRef=workload, **spec)
    for field in ("image", "handler"):
        del found["spec"][field]
    return found


def everywhere(**changes: Any) -> Manifest:
    settings = platform(**changes)
    settings["transports"] |= {"sqs": SQS, "pubsub": PUBSUB}
    return settings


class TestMove:
    SPEC: ClassVar[Manifest] = {"serviceAccountName": "llm"}

    def moving(self, observed: dict[str, Manifest], *others: Manifest) -> Answer:
        active = {"type": "Active", "status": "True"}
        if "rabbitmq-scaled-object" in observed:
            observed["rabbitmq-scaled-object"]["status"]["conditions"][1] = active
        there = [*others, *(each for key, each in observed.items() if key.startswith("rabbitmq-"))]
        found = call(bound(transport="pubsub", **self.SPEC), everywhere(), observed=observed, cluster=there)
        assert not found.refused, found.refused
        return found

    def test_the_new_scaler_waits_until_the_old_one_is_gone(self) -> None:
        observed = settled(bound(**self.SPEC), everywhere())
        observed |= as_observed(self.moving(observed))
        answer = self.moving(observed)
        assert "rabbitmq-scaled-object" in answer.resources
        assert "pubsub-scaled-object" not in answer.resources
        assert "pubsub-queue" in answer.resources
        status, _, message = answer.conditions["AutoscalerReady"]
        assert status == "False"
        assert "waits until rabbitmq is left, by which llm is scaled still" in message

    def test_it_comes_when_the_old_one_is_gone(self) -> None:
        observed = settled(bound(**self.SPEC), everywhere())
        for _subscriptions_then_grants in range(2):
            observed |= as_observed(self.moving(observed))
        left = {key: each for key, each in observed.items() if not key.startswith("rabbitmq-")}
        assert "pubsub-scaled-object" in self.moving(left).resources

    def test_it_stays_while_the_actor_moves_back(self) -> None:
        observed = as_observed(self.moving(settled(bound(**self.SPEC), everywhere())))
        there = [each for key, each in observed.items() if key.startswith("pubsub-")]
        answer = call(bound(**self.SPEC), everywhere(), observed=observed, cluster=there)
        assert "rabbitmq-scaled-object" in answer.resources
        assert "pubsub-scaled-object" not in answer.resources

    def test_never_are_there_two(self) -> None:
        observed = settled(bound(**self.SPEC), everywhere())
        del observed["rabbitmq-scaled-object"]
        found = self.moving(observed, actor("other")).resources
        assert [key for key in found if key.endswith("-scaled-object")] == ["rabbitmq-scaled-object"]

    def test_an_actor_with_pods_of_its_own_has_both(self) -> None:
        observed = settled(actor(), everywhere())
        for _subscriptions_then_grants_then_scaler in range(3):
            observed["rabbitmq-scaled-object"]["status"]["conditions"][1] = {"type": "Active", "status": "True"}
            there = [observed["rabbitmq-scaled-object"], observed["rabbitmq-deployment"]]
            answer = call(actor(transport="pubsub"), everywhere(), observed=observed, cluster=there)
            observed |= as_observed(answer)
        assert {"rabbitmq-scaled-object", "pubsub-scaled-object"} <= answer.resources.keys()


class TestOneActorPerWorkload:
    def test_the_younger_is_refused(self) -> None:
        elder, younger = bound("first", created="2026-01-01T00:00:00Z"), bound(created="2026-02-01T00:00:00Z")
        (message,) = call(younger, cluster=[elder, younger]).refused
        assert message == "spec.workloadRef: Deployment 'llm' is already bound to actor 'first'"
        assert not call(elder, cluster=[elder, younger]).refused

    @pytest.mark.parametrize("other", [{**LLM, "name": "embed"}, {**LLM, "kind": "StatefulSet"}])
    def test_other_workloads_are_others(self, other: Manifest) -> None:
        elder = bound("first", created="2026-01-01T00:00:00Z", workload=other)
        younger = bound(created="2026-02-01T00:00:00Z")
        assert not call(younger, cluster=[elder, younger]).refused

    def test_the_kind_may_be_left_out(self) -> None:
        elder = bound("first", created="2026-01-01T00:00:00Z", workload={**LLM, "kind": "Deployment"})
        assert call(bound(created="2026-02-01T00:00:00Z"), cluster=[elder]).refused


class TestAccount:
    @pytest.mark.parametrize("transport", ["sqs", "pubsub"])
    def test_where_rights_go_by_account_the_workloads_must_be_known(self, transport: str) -> None:
        (message,) = call(bound(), everywhere(defaultTransport=transport)).refused
        assert message.startswith("spec.serviceAccountName: missing; ")
        assert not call(bound(serviceAccountName="llm"), everywhere(defaultTransport=transport)).refused

    def test_on_rabbitmq_it_need_not(self) -> None:
        assert not call(bound(), everywhere()).refused

    def test_rights_are_given_to_the_workloads_account(self) -> None:
        role = call(bound(serviceAccountName="llm"), everywhere(defaultTransport="sqs")).resources["sqs-role"]
        assert "system:serviceaccount:shop:llm" in role["spec"]["forProvider"]["assumeRolePolicy"]
