"""What is composed for an actor on SQS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.compose.cloud.actors import ACCOUNT, at_work, composed, context, queues_at_work, settings, wanted

from asya_composer.errors import CompositionError
from asya_composer.model import Context, Waiting
from asya_composer.transports.sqs import Sqs

ARN = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:asya_shop_resize"
OWN = {"asya.sh/namespace": "shop", "asya.sh/actor": "resize"}
MANY = "n" * 63
NAMESPACE = "n" * 62
"""The longest that all names at SQS have room for."""


def made(**changes: Any) -> Context:
    return context("sqs", observed=queues_at_work(context("sqs", **changes)), **changes)


def statements(actor: Context) -> dict[str, dict[str, Any]]:
    policy = json.loads(wanted(actor)["role-policy"]["policy"])
    return {each["Sid"]: each for each in policy["Statement"]}


def test_the_queue_is_made_from_the_manifest() -> None:
    assert wanted(context("sqs", resiliency={"actorTimeout": "10m"}))["queue"] == {
        "name": "asya_shop_resize",
        "region": "eu-west-1",
        "messageRetentionSeconds": 1_209_600,
        "receiveWaitTimeSeconds": 20,
        "visibilityTimeoutSeconds": 660,
        "sqsManagedSseEnabled": True,
        "tags": OWN,
    }


def test_what_the_platform_sets_is_in_both_queues_and_with_the_sidecar() -> None:
    actor = context("sqs", platform=settings("sqs", own={"maxMessageBytes": 262_144, "fifo": True}))
    found = wanted(actor)
    for key in ("queue", "dead-letter-queue"):
        assert found[key]["maxMessageSize"] == 262_144
        assert found[key]["fifoQueue"]
        assert (found[key]["deduplicationScope"], found[key]["fifoThroughputLimit"]) == (
            "messageGroup",
            "perMessageGroupId",
        )
    assert variables(actor)["ASYA_SQS_MAX_MESSAGE_BYTES"] == "262144"
    assert variables(actor)["ASYA_SQS_FIFO"] == "true"


def test_what_the_platform_does_not_set_is_left_to_provider_and_sidecar() -> None:
    assert variables(context("sqs")) == {"ASYA_AWS_REGION": "eu-west-1", "ASYA_SQS_ACCOUNT_ID": ACCOUNT}


def variables(actor: Context) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in Sqs().pod(actor).env}


def test_queues_and_role_need_nothing_of_each_other() -> None:
    assert list(composed(context("sqs"))) == ["dead-letter-queue", "queue", "role", "role-policy"]


@pytest.mark.parametrize("missing", ["queue", "dead-letter-queue"])
def test_the_redrive_policies_wait_for_both_queues(missing: str) -> None:
    observed = queues_at_work(context("sqs"))
    observed[missing] = {**observed[missing], "status": {}}
    assert "redrive-policy" not in composed(context("sqs", observed=observed))
    assert "redrive-allow-policy" not in composed(context("sqs", observed=observed))


def test_the_redrive_policies_tie_the_queues_together() -> None:
    found = wanted(made(queue={"deliveryLimit": 7}))
    redrive, allow = found["redrive-policy"], found["redrive-allow-policy"]
    assert redrive["queueUrlRef"] == {"name": "resize-sqs-queue"}
    assert json.loads(redrive["redrivePolicy"]) == {"deadLetterTargetArn": f"{ARN}_dlq", "maxReceiveCount": 7}
    assert allow["queueUrlRef"] == {"name": "resize-sqs-dead-letter-queue"}
    assert json.loads(allow["redriveAllowPolicy"]) == {"redrivePermission": "byQueue", "sourceQueueArns": [ARN]}


def test_a_redrive_policy_that_exists_stays_when_a_queue_is_out_of_sight() -> None:
    before = composed(made())
    alone = {"redrive-policy": at_work(before["redrive-policy"].manifest)}
    after = composed(context("sqs", observed=alone))
    assert after["redrive-policy"].manifest == before["redrive-policy"].manifest
    assert "redrive-allow-policy" not in after


def test_the_second_answer_is_the_first() -> None:
    first = composed(made())
    observed = {**{key: at_work(each.manifest) for key, each in first.items()}, **queues_at_work(context("sqs"))}
    second = composed(context("sqs", observed=observed))
    assert {key: each.manifest for key, each in first.items()} == {key: each.manifest for key, each in second.items()}
    assert all(each.ready for each in second.values())


def test_a_queue_in_another_account_is_an_error_not_a_wait() -> None:
    observed = queues_at_work(context("sqs"))
    observed["queue"]["status"]["atProvider"]["arn"] = ARN.replace(ACCOUNT, "999999999999")
    queue = composed(context("sqs", observed=observed))["queue"]
    assert not queue.ready
    assert "999999999999" in queue.error


@pytest.mark.parametrize(("policy", "kept"), [("Delete", False), ("DeleteIfEmpty", True), ("Retain", True)])
def test_only_delete_deletes(policy: str, kept: bool) -> None:
    for key in ("queue", "dead-letter-queue"):
        spec = composed(context("sqs", queue={"deletionPolicy": policy}))[key].manifest["spec"]
        assert ("Delete" not in spec.get("managementPolicies", ["Delete"])) is kept


@pytest.mark.parametrize(
    ("spec", "field"),
    [({"resiliency": {"actorTimeout": "12h"}}, "spec.resiliency.actorTimeout")],
)
def test_what_sqs_cannot_do_is_refused(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(CompositionError) as caught:
        composed(context("sqs", **spec))
    assert caught.value.field == field


def test_irsa_without_its_issuer_is_refused() -> None:
    with pytest.raises(CompositionError, match="oidcProvider"):
        composed(context("sqs", platform=settings("sqs", own={"oidcProvider": None})))


class TestNames:
    @pytest.mark.parametrize("style", ["underscore", "dash"])
    def test_long_names_fit_and_stay_apart(self, style: str) -> None:
        platform = settings("sqs", queueNames=style)
        found = [wanted(context("sqs", MANY[:-1] + end, namespace=NAMESPACE, platform=platform)) for end in "ab"]
        names = {each[key]["name"] for each in found for key in ("queue", "dead-letter-queue")}
        assert len(names) == 4
        assert max(map(len, names)) <= 80

    def test_a_long_name_keeps_what_permissions_go_by(self) -> None:
        found = wanted(context("sqs", MANY, namespace=NAMESPACE))
        assert found["queue"]["name"].startswith(f"asya_{NAMESPACE}_")
        assert found["dead-letter-queue"]["name"].endswith("_dlq")

    @pytest.mark.parametrize(("length", "fifo", "fits"), [(62, False, True), (63, False, False), (57, True, True)])
    @pytest.mark.parametrize("name", ["a", MANY])
    def test_a_namespace_that_a_name_cuts_is_refused(self, name: str, length: int, fifo: bool, fits: bool) -> None:
        actor = context("sqs", name, namespace="n" * length, platform=settings("sqs", own={"fifo": fifo}))
        if fits or name == "a":
            assert composed(actor)
        else:
            with pytest.raises(CompositionError, match=r"metadata\.namespace: too long for queues at SQS"):
                composed(actor)


class TestRole:
    def test_irsa_trusts_one_service_account(self) -> None:
        trust = json.loads(wanted(context("sqs"))["role"]["assumeRolePolicy"])
        issuer = "oidc.eks.eu-west-1.amazonaws.com/id/AB12"
        assert trust["Statement"] == [
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        f"{issuer}:aud": "sts.amazonaws.com",
                        f"{issuer}:sub": "system:serviceaccount:shop:resize-actor",
                    }
                },
            }
        ]

    def test_pod_identity_trusts_one_service_account(self) -> None:
        platform = settings("sqs", own={"identity": "podIdentity", "oidcProvider": None})
        actor = context("sqs", platform=platform, serviceAccountName="painter")
        trust = json.loads(wanted(actor)["role"]["assumeRolePolicy"])
        assert trust["Statement"] == [
            {
                "Effect": "Allow",
                "Principal": {"Service": "pods.eks.amazonaws.com"},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
                "Condition": {
                    "StringEquals": {
                        "aws:RequestTag/kubernetes-namespace": "shop",
                        "aws:RequestTag/kubernetes-service-account": "painter",
                    }
                },
            }
        ]
        assert Sqs().pod(actor).annotations == {}

    def test_the_service_account_names_the_role_that_is_made(self) -> None:
        actor = context("sqs")
        role = composed(actor)["role"].manifest
        name = role["metadata"]["annotations"]["crossplane.io/external-name"]
        made_as = f"arn:aws:iam::{ACCOUNT}:role{role['spec']['forProvider']['path']}{name}"
        assert Sqs().pod(actor).annotations == {"eks.amazonaws.com/role-arn": made_as}
        assert len(name) <= 64

    def test_a_boundary_bounds_the_role(self) -> None:
        bound = "arn:aws:iam::123456789012:policy/bound"
        assert (
            wanted(context("sqs", platform=settings("sqs", own={"permissionsBoundary": bound})))["role"][
                "permissionsBoundary"
            ]
            == bound
        )

    def test_in_the_dash_style_the_tag_keeps_namespaces_apart(self) -> None:
        send = statements(context("sqs", platform=settings("sqs", queueNames="dash")))["Send"]
        assert send["Condition"] == {"StringEquals": {"aws:ResourceTag/asya.sh/namespace": "shop"}}
        assert "Condition" not in statements(context("sqs"))["Send"]

    def test_of_dead_letters_an_actor_sends_its_own_only(self) -> None:
        dead = statements(context("sqs"))["NoDeadLetters"]
        assert dead["Resource"] == f"arn:aws:sqs:eu-west-1:{ACCOUNT}:asya_shop_*_dlq"
        assert dead["Condition"] == {"StringNotEquals": {"aws:ResourceTag/asya.sh/actor": "resize"}}
        assert wanted(context("sqs"))["dead-letter-queue"]["tags"]["asya.sh/actor"] == "resize"
        fifo = statements(context("sqs", platform=settings("sqs", own={"fifo": True})))["NoDeadLetters"]
        assert fifo["Resource"].endswith("_dlq.fifo")

    def test_large_messages_are_the_namespaces_and_read_by_their_receiver(self) -> None:
        found = statements(context("sqs", platform=settings("sqs", own={"claimCheck": {"bucket": "big-ones"}})))
        assert found["Bodies"]["Resource"] == ["arn:aws:s3:::big-ones/asya/shop/*"]
        assert found["OwnBodies"] == {
            "Sid": "OwnBodies",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": "arn:aws:s3:::big-ones/asya/shop/resize/*",
        }
        assert not {"Bodies", "OwnBodies"} & statements(context("sqs")).keys()

    def test_a_crew_elsewhere_can_be_reached(self) -> None:
        own = {"claimCheck": {"bucket": "big-ones"}}
        found = statements(context("sqs", platform=settings("sqs", own=own, crewNamespace="crew")))
        assert found["Ask"]["Resource"] == f"arn:aws:sqs:eu-west-1:{ACCOUNT}:asya_crew_x-sink"
        assert found["Bodies"]["Resource"] == [
            f"arn:aws:s3:::big-ones/asya/{each}/*" for each in ("shop", "crew/x-sink", "crew/x-sump")
        ]
        end = found["End"]
        assert end["Resource"] == [f"arn:aws:sqs:eu-west-1:{ACCOUNT}:asya_crew_{name}" for name in ("x-sink", "x-sump")]

    @pytest.mark.parametrize(
        ("key", "resource", "alias"),
        [
            ("1234", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234", None),
            ("arn:aws:kms:eu-west-1:1:key/12", "arn:aws:kms:eu-west-1:1:key/12", None),
            ("alias/mesh", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/*", "alias/mesh"),
            (f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/mesh", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/*", "alias/mesh"),
        ],
    )
    def test_a_key_of_ones_own_can_be_used_through_sqs_only(self, key: str, resource: str, alias: str | None) -> None:
        actor = context("sqs", platform=settings("sqs", own={"kmsKeyId": key}))
        statement = statements(actor)["Key"]
        assert wanted(actor)["queue"]["kmsMasterKeyId"] == key
        assert "sqsManagedSseEnabled" not in wanted(actor)["queue"]
        assert statement["Resource"] == resource
        assert statement["Condition"]["StringEquals"] == {"kms:ViaService": "sqs.eu-west-1.amazonaws.com"}
        assert statement["Condition"].get("ForAnyValue:StringEquals", {}).get("kms:ResourceAliases") == alias


class TestTrigger:
    def test_it_waits_for_the_address(self) -> None:
        assert isinstance(Sqs().trigger(context("sqs")), Waiting)

    def test_it_counts_what_is_asked_for(self) -> None:
        scaling = {"queueLength": 3, "activationQueueLength": 2, "scaleOnInFlight": False, "scaleOnDelayed": True}
        trigger = Sqs().trigger(made(scaling=scaling))
        assert not isinstance(trigger, Waiting)
        assert trigger.type == "aws-sqs-queue"
        assert trigger.metadata == {
            "queueURL": f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/asya_shop_resize",
            "awsRegion": "eu-west-1",
            "queueLength": "3",
            "activationQueueLength": "2",
            "scaleOnInFlight": "false",
            "scaleOnDelayed": "true",
        }
        assert trigger.authentication == {"podIdentity": {"provider": "aws"}}

    def test_keda_may_have_a_role_for_it(self) -> None:
        platform = settings("sqs", own={"kedaRoleArn": "arn:aws:iam::1:role/keda", "endpoint": "http://aws.test:4566"})
        trigger = Sqs().trigger(made(platform=platform))
        assert not isinstance(trigger, Waiting)
        assert trigger.authentication == {"podIdentity": {"provider": "aws", "roleArn": "arn:aws:iam::1:role/keda"}}
        assert trigger.metadata["awsEndpoint"] == "http://aws.test:4566"


@pytest.mark.parametrize(
    ("own", "ports"),
    [
        ({}, [443]),
        ({"identity": "podIdentity"}, [443, 80]),
        ({"endpoint": "http://aws.test:4566"}, [4566]),
        ({"endpoint": "http://aws.test"}, [80]),
        ({"claimCheck": {"bucket": "big-ones"}}, [443]),
        ({"endpoint": "http://aws.test:4566", "claimCheck": {"bucket": "big-ones"}}, [443, 4566]),
        ({"claimCheck": {"bucket": "big-ones", "endpoint": "http://s3.test:9000"}}, [443, 9000]),
    ],
)
def test_pods_reach_the_api_and_no_more(own: dict[str, Any], ports: list[int]) -> None:
    egress = Sqs().pod(context("sqs", platform=settings("sqs", own=own))).egress
    assert [port["port"] for rule in egress for port in rule["ports"]] == ports


def test_status_names_the_queue() -> None:
    assert Sqs().queue(context("sqs")).identifier == ARN
    assert Sqs().queue(context("sqs")).url is None
    assert Sqs().queue(made()).url == f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/asya_shop_resize"
