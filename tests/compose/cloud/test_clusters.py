"""Clusters that share an AWS account or a Google project: names and marks of each, and nobody writes the other's."""

from __future__ import annotations

import pytest
from tests.compose.cloud.actors import at_work, composed, context, settings, wanted

from asya_composer import names
from asya_composer.model import Context
from asya_composer.settings import TransportName

MARKS = {"sqs": ("asya.sh/cluster", "tags"), "pubsub": ("asya-cluster", "labels")}


def of(name: TransportName, cluster: str | None) -> Context:
    own = {"identity": "serviceAccount"} if name == "pubsub" else {}
    return context(name, platform=settings(name, own=own, clusterName=cluster))


def test_roles_and_accounts_are_of_one_cluster_each() -> None:
    clusters = (None, "prod", "staging")
    assert len({names.iam_role(of("sqs", each)) for each in clusters}) == 3
    assert len({names.gcp_account(of("pubsub", each)) for each in clusters}) == 3
    assert names.iam_role(of("sqs", "prod")) == "asya_prod_shop_resize"


def test_no_two_clusters_share_a_role_in_the_style_with_dashes() -> None:
    def role(cluster: str, namespace: str) -> str:
        platform = settings("sqs", clusterName=cluster, queueNames="dash")
        return names.iam_role(context("sqs", namespace=namespace, platform=platform))

    assert role("a", "b-c") != role("a-b", "c")


@pytest.mark.parametrize("name", ["sqs", "pubsub"])
def test_everything_with_marks_bears_the_clusters(name: TransportName) -> None:
    mark, place = MARKS[name]
    found = [each[place][mark] for each in wanted(of(name, "prod")).values() if place in each]
    assert len(found) >= 3
    assert set(found) == {"prod"}
    assert not [each for each in wanted(of(name, None)).values() if mark in each.get(place, {})]


@pytest.mark.parametrize("name", ["sqs", "pubsub"])
def test_the_queue_of_another_cluster_is_neither_written_nor_deleted(name: TransportName) -> None:
    mark, place = MARKS[name]
    made = composed(of(name, "staging"))["queue"].manifest
    there = at_work(made)
    there["status"]["atProvider"] = {place: {mark: "staging"}}
    platform = of(name, "prod").settings
    queue = composed(context(name, platform=platform, observed={"queue": there}))["queue"]
    assert queue.manifest["spec"]["managementPolicies"] == ["Observe"]
    assert not queue.ready
    assert "is staging, and this is prod" in queue.error
    own = composed(context(name, platform=of(name, "staging").settings, observed={"queue": there}))["queue"]
    assert own.ready
    assert own.manifest == made
