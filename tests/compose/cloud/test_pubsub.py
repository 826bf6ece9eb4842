"""What is composed for an actor on Pub/Sub."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.compose.cloud.actors import at_work, composed, context, settings, wanted
from tests.compose.cloud.evaluator import GrantEvaluator, Pod, ServiceAgent

from asya_composer.errors import CompositionError
from asya_composer.model import Manifest
from asya_composer.transports.pubsub import Pubsub

PUBLISH, CONSUME = "pubsub.topics.publish", "pubsub.subscriptions.consume"
BACKLOG = (
    "pubsub_googleapis_com:subscription_num_undelivered_messages"
    '{monitored_resource="pubsub_subscription",subscription_id="%s",project_id="mesh-prod"}'
)
IDENTITIES = ["principal", "serviceAccount"]


MARKED = {"project": "mesh-prod", "labels": {"asya-namespace": "shop", "asya-actor": "resize"}}


def test_the_subscription_is_made_from_the_manifest() -> None:
    found = wanted(context("pubsub", queue={"deliveryLimit": 9}, resiliency={"actorTimeout": "2h"}))
    assert found["subscription"] == {
        **MARKED,
        "topicRef": {"name": "resize-pubsub-queue"},
        "ackDeadlineSeconds": 60,
        "messageRetentionDuration": "604800s",
        "expirationPolicy": {"ttl": ""},
        "deadLetterPolicy": {
            "deadLetterTopicRef": {"name": "resize-pubsub-dead-letter-queue"},
            "maxDeliveryAttempts": 9,
        },
    }


def test_what_waits_for_its_time_is_handed_out_as_often_as_need_be_and_never_a_dead_letter() -> None:
    assert wanted(context("pubsub"))["delayed-subscription"] == {
        **MARKED,
        "topicRef": {"name": "resize-pubsub-delayed-queue"},
        "ackDeadlineSeconds": 10,
        "messageRetentionDuration": "604800s",
        "expirationPolicy": {"ttl": ""},
    }


def test_order_is_kept_where_the_platform_asks_for_it() -> None:
    actor = context("pubsub", platform=settings("pubsub", own={"ordered": True}))
    assert wanted(actor)["subscription"]["enableMessageOrdering"]
    assert {"name": "ASYA_PUBSUB_ORDERED", "value": "true"} in Pubsub().pod(actor).env


def test_dead_letters_stay_as_long_as_they_can() -> None:
    found = wanted(context("pubsub"))["dead-letter-subscription"]
    assert (found["expirationPolicy"], found["messageRetentionDuration"]) == ({"ttl": ""}, "2678400s")
    assert "deadLetterPolicy" not in found


def test_each_reference_finds_its_object() -> None:
    platform = settings("pubsub", own={"identity": "serviceAccount"})
    objects = [each.manifest for each in composed(context("pubsub", platform=platform)).values()]
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    kinds = {
        "topicRef": "Topic",
        "deadLetterTopicRef": "Topic",
        "subscriptionRef": "Subscription",
        "serviceAccountIdRef": "ServiceAccount",
    }
    found = [(kinds[field], name) for each in objects for field, name in references(each["spec"])]
    assert len(found) > 5
    assert set(found) <= there


def references(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return []
    own = [(key, each["name"]) for key, each in value.items() if key.endswith("Ref") and key != "providerConfigRef"]
    return own + [found for each in value.values() for found in references(each)]


def test_topics_and_subscriptions_are_called_after_the_queue() -> None:
    found = {
        key: each.manifest["metadata"]["annotations"]["crossplane.io/external-name"]
        for key, each in composed(context("pubsub")).items()
        if each.manifest["kind"] in ("Topic", "Subscription")
    }
    assert found == {
        "queue": "asya_shop_resize",
        "subscription": "asya_shop_resize",
        "delayed-queue": "asya_shop_resize.delay",
        "delayed-subscription": "asya_shop_resize.delay",
        "dead-letter-queue": "asya_shop_resize_dlq",
        "dead-letter-subscription": "asya_shop_resize_dlq",
    }


@pytest.mark.parametrize("actor", ["a", "n" * 63, "a-" * 20 + "a"])
def test_an_account_id_is_one_that_google_takes(actor: str) -> None:
    found = composed(context("pubsub", actor, platform=settings("pubsub", own={"identity": "serviceAccount"})))
    name = found["google-service-account"].manifest["metadata"]["annotations"]["crossplane.io/external-name"]
    assert re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", name)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"queue": {"deliveryLimit": 4}}, "spec.queue.deliveryLimit"),
        ({"queue": {"deliveryLimit": 101}}, "spec.queue.deliveryLimit"),
    ],
)
def test_what_pubsub_cannot_do_is_refused(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(CompositionError) as caught:
        composed(context("pubsub", **spec))
    assert caught.value.field == field


def test_a_label_that_google_does_not_take_is_refused() -> None:
    with pytest.raises(CompositionError, match=r"team\.example/name"):
        composed(context("pubsub", platform=settings("pubsub", own={"labels": {"team.example/name": "a"}})))


@pytest.mark.parametrize(("policy", "kept"), [("Delete", False), ("DeleteIfEmpty", True), ("Retain", True)])
def test_only_delete_deletes(policy: str, kept: bool) -> None:
    found = composed(context("pubsub", queue={"deletionPolicy": policy}))
    made = {key for key, each in found.items() if each.manifest["kind"] in ("Topic", "Subscription")}
    assert len(made) == 6
    for key in made:
        assert ("Delete" not in found[key].manifest["spec"].get("managementPolicies", ["Delete"])) is kept


def test_the_second_answer_is_the_first_and_ready() -> None:
    first = composed(context("pubsub"))
    second = composed(context("pubsub", observed={key: at_work(each.manifest) for key, each in first.items()}))
    assert {key: each.manifest for key, each in first.items()} == {key: each.manifest for key, each in second.items()}
    assert not any(each.ready for each in first.values())
    assert all(each.ready for each in second.values())


GRANTS = {
    "subscription": {"publisher"},
    "delayed-subscription": {"delayed-publisher"},
    "dead-letter-subscription": {"dead-letter-forwarding", "dead-letter-publisher"},
}


class TestNothingIsPublishedThatNobodyKeeps:
    @pytest.mark.parametrize("missing", GRANTS)
    def test_the_right_to_publish_waits_for_the_subscription(self, missing: str) -> None:
        first = composed(context("pubsub"))
        there = {key: at_work(first[key].manifest) for key in GRANTS}
        for state in ([], [{"type": "Ready", "status": "False", "reason": "Creating"}]):
            there[missing] = {**there[missing], "status": {"conditions": state}}
            found = composed(context("pubsub", observed=there))
            late = {key: each for key, each in found.items() if each.later}
            assert late.keys() == GRANTS[missing]
            for each in late.values():
                assert each.why.endswith(f" waits for Subscription resize-pubsub-{missing}")
                assert not each.ready

    @pytest.mark.parametrize("identity", IDENTITIES)
    def test_at_first_nobody_may_publish_anything(self, identity: str) -> None:
        platform = settings("pubsub", own={"identity": identity})
        found = composed(context("pubsub", platform=platform, neighbours=["paint", "resize"]))
        roles = {each.manifest["spec"]["forProvider"].get("role") for each in found.values() if not each.later}
        assert "roles/pubsub.publisher" not in roles

    def test_a_right_that_exists_stays_when_the_subscription_is_out_of_sight(self) -> None:
        first = composed(context("pubsub"))
        rights = {key: at_work(first[key].manifest) for grants in GRANTS.values() for key in grants}
        found = composed(context("pubsub", observed=rights))
        assert not [key for key, each in found.items() if each.later]

    def test_a_neighbour_that_comes_later_may_publish_at_once(self) -> None:
        platform = settings("pubsub", own={"identity": "serviceAccount"})
        first = composed(context("pubsub", platform=platform))
        there = {key: at_work(first[key].manifest) for key in GRANTS}
        found = composed(context("pubsub", platform=platform, neighbours=["paint", "resize"], observed=there))
        assert not found["publisher-paint"].later


class TestTrigger:
    def test_it_reads_the_backlog_from_google(self) -> None:
        trigger = Pubsub().trigger(context("pubsub", scaling={"queueLength": 3, "activationQueueLength": 2}))
        assert trigger.type == "prometheus"
        assert trigger.metadata == {
            "serverAddress": "https://monitoring.googleapis.com/v1/projects/mesh-prod/location/global/prometheus",
            "query": f"max({BACKLOG % 'asya_shop_resize'} or clamp_max({BACKLOG % 'asya_shop_resize.delay'}, 3))",
            "threshold": "3",
            "activationThreshold": "2",
            "ignoreNullValues": "true",
        }
        assert trigger.authentication == {"podIdentity": {"provider": "gcp"}}

    def test_a_prometheus_of_ones_own_is_asked_without_googles_identity(self) -> None:
        own = {"prometheusAddress": "http://prometheus.monitoring:9090"}
        trigger = Pubsub().trigger(context("pubsub", platform=settings("pubsub", own=own)))
        assert trigger.metadata["serverAddress"] == "http://prometheus.monitoring:9090"
        assert trigger.authentication is None

    def test_delayed_messages_count_in_full_when_asked_for(self) -> None:
        trigger = Pubsub().trigger(context("pubsub", scaling={"scaleOnDelayed": True}))
        expected = f"sum({BACKLOG % 'asya_shop_resize'} or {BACKLOG % 'asya_shop_resize.delay'})"
        assert trigger.metadata["query"] == expected

    def test_what_google_does_not_count_is_refused(self) -> None:
        with pytest.raises(CompositionError) as caught:
            Pubsub().trigger(context("pubsub", scaling={"scaleOnInFlight": False}))
        assert caught.value.field == "spec.scaling.scaleOnInFlight"


class TestLeastPrivilege:
    """By `GrantEvaluator`, over two namespaces of three actors each."""

    def mesh(self, identity: str) -> tuple[GrantEvaluator, Callable[[str, str], Pod]]:
        platform = settings("pubsub", own={"identity": identity})
        actors = ["paint", "resize", "x-sink"]
        objects: list[Manifest] = []
        for namespace in ("shop", "bank"):
            for name in actors:
                actor = context("pubsub", name, namespace=namespace, platform=platform, neighbours=actors)
                objects += [each.manifest for each in composed(actor).values()]

        def pod(namespace: str, name: str) -> Pod:
            actor = context("pubsub", name, namespace=namespace, platform=platform)
            google = Pubsub().pod(actor).annotations.get("iam.gke.io/gcp-service-account")
            assert (google is not None) is (identity == "serviceAccount")
            return Pod(namespace, f"{name}-actor", google)

        return GrantEvaluator(objects), pod

    @pytest.mark.parametrize("identity", IDENTITIES)
    def test_an_actor_receives_from_its_own_queue_only(self, identity: str) -> None:
        grants, pod = self.mesh(identity)
        own = pod("shop", "resize")
        for name in ("asya_shop_resize", "asya_shop_resize.delay"):
            assert grants.may(own, CONSUME, f"subscriptions/{name}")
        for other in (
            "asya_shop_paint",
            "asya_shop_paint.delay",
            "asya_shop_x-sink",
            "asya_shop_resize_dlq",
            "asya_bank_resize",
        ):
            assert not grants.may(own, CONSUME, f"subscriptions/{other}")

    @pytest.mark.parametrize("identity", IDENTITIES)
    def test_an_actor_publishes_within_its_namespace_only(self, identity: str) -> None:
        grants, pod = self.mesh(identity)
        own = pod("shop", "resize")
        for name in ("resize", "paint", "x-sink", "resize.delay", "resize_dlq"):
            assert grants.may(own, PUBLISH, f"topics/asya_shop_{name}")
        for other in ("bank_resize", "bank_x-sink", "shop_paint_dlq", "shop_paint.delay", "bank_resize_dlq"):
            assert not grants.may(own, PUBLISH, f"topics/asya_{other}")

    @pytest.mark.parametrize("identity", IDENTITIES)
    def test_the_service_agent_moves_dead_letters_and_no_more(self, identity: str) -> None:
        grants, _ = self.mesh(identity)
        assert grants.may(ServiceAgent(), PUBLISH, "topics/asya_shop_resize_dlq")
        assert grants.may(ServiceAgent(), CONSUME, "subscriptions/asya_shop_resize")
        assert not grants.may(ServiceAgent(), PUBLISH, "topics/asya_shop_resize")
        assert not grants.may(ServiceAgent("1"), PUBLISH, "topics/asya_shop_resize_dlq")

    def test_nobody_can_be_another_actors_account(self) -> None:
        grants, pod = self.mesh("serviceAccount")
        thief = Pod("shop", "paint-actor", pod("shop", "resize").google)
        assert not grants.may(thief, CONSUME, "subscriptions/asya_shop_resize")

    def test_a_cluster_of_another_pool_gets_nothing(self) -> None:
        grants, _ = self.mesh("principal")
        assert not grants.may(
            Pod("shop", "resize-actor", pool="other.svc.id.goog"), CONSUME, "subscriptions/asya_shop_resize"
        )

    @pytest.mark.parametrize("identity", IDENTITIES)
    def test_with_a_crew_elsewhere_its_ends_can_be_reached_and_no_more(self, identity: str) -> None:
        platform = settings("pubsub", own={"identity": identity}, crewNamespace="crew")
        actor = context("pubsub", platform=platform)
        grants = GrantEvaluator(each.manifest for each in composed(actor).values())
        pod = Pod("shop", "resize-actor", Pubsub().pod(actor).annotations.get("iam.gke.io/gcp-service-account"))
        assert grants.may(pod, PUBLISH, "topics/asya_crew_x-sink")
        assert grants.may(pod, PUBLISH, "topics/asya_crew_x-sump")
        assert not grants.may(pod, PUBLISH, "topics/asya_crew_x-pause")
        assert not grants.may(pod, CONSUME, "subscriptions/asya_crew_x-sink")
