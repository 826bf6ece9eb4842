"""What people are told when something does not work, and that odd objects of the cluster never stop the function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from crossplane.function.proto.v1 import run_function_pb2 as fnv1
from tests.compose.calls import CROSSPLANE, Manifest, actor, call, settled
from tests.compose.test_leaving import everything

PODS = {
    "ReplicaFailure": ("True", 'pods "resize" is forbidden: violates PodSecurity "restricted:latest"'),
    "Progressing": ("False", 'ReplicaSet "resize" has timed out progressing.'),
}


@pytest.mark.parametrize("kind", PODS)
def test_pods_that_cannot_be_made_are_told(kind: str) -> None:
    status, message = PODS[kind]
    observed = settled(actor())
    observed["rabbitmq-deployment"]["spec"]["replicas"] = 1
    conditions = [{"type": kind, "status": status, "message": message}]
    observed["rabbitmq-deployment"]["status"] = {"observedGeneration": 1, "conditions": conditions}

    answer = call(actor(), observed=observed)

    assert answer.status["phase"] == "Degraded"
    assert f"WorkloadReady: Deployment: {message}" in answer.warnings
    assert answer.status["message"] == f"Deployment: {message}"
    assert answer.conditions["WorkloadReady"] == ("False", "Failed", f"Deployment: {message}")


def test_a_refused_change_is_told_once_and_leaves_the_rest_of_the_status() -> None:
    composite, observed = actor(), settled(actor())
    status = call(composite, observed=observed).status
    wrong = {**actor(scaling={"scaleOnDelayed": True}), "status": status}

    answer = call(wrong, observed=observed)

    message = answer.conditions["WorkloadReady"][2]
    assert message.startswith("spec.scaling.scaleOnDelayed: ")
    assert answer.status == {**status, "phase": "Degraded", "message": message}
    assert answer.response.desired.composite.ready == fnv1.READY_FALSE
    assert answer.warnings == [f"WorkloadReady: {message}"]
    condition = {"type": "WorkloadReady", "status": "False", "reason": "Refused", "message": message}
    known = {**wrong, "status": {**answer.status, "conditions": [condition]}}
    assert call(known, observed=observed).warnings == []
    right = {**actor(), "status": known["status"]}
    assert call(right, observed=observed).status == status


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_the_replicas_of_a_bound_actor_are_its_workloads(kind: str) -> None:
    bound: Manifest = {**actor(), "spec": {"workloadRef": {"kind": kind, "name": "llm", "port": 8000}}}
    observed = settled(bound)
    workload = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "llm", "namespace": "shop"},
        "status": {"replicas": 3, "readyReplicas": 2},
    }
    status = call(bound, observed=observed, cluster=[workload]).status
    assert (status["phase"], status["replicas"], status["readyReplicas"]) == ("Ready", 3, 2)
    workload["status"] = {"observedGeneration": 1}
    assert call(bound, observed=observed, cluster=[workload]).status["phase"] == "Napping"


def test_what_others_have_set_is_left_to_them() -> None:
    observed = settled(actor())
    deployment = observed["rabbitmq-deployment"]
    own = dict(deployment["metadata"]["annotations"])
    deployment["metadata"]["annotations"] |= {"deployment.kubernetes.io/revision": "7"}
    deployment["metadata"]["labels"] |= {"their": "label"}
    labels = call(actor(flavors=["gone"]), observed=observed).resources["rabbitmq-deployment"]["metadata"]
    assert labels["annotations"] == own
    assert "their" not in labels["labels"]
    assert labels["labels"]["asya.sh/actor"] == "resize"


def test_all_is_kept_where_nobody_says_whose_it_is() -> None:
    observed = settled(actor(scaling={"enabled": False}, replicas=5))
    for each in observed.values():
        del each["metadata"]["managedFields"]
    observed["rabbitmq-deployment"]["metadata"]["annotations"]["their"] = "word"
    kept = call(actor(flavors=["gone"]), observed=observed).resources["rabbitmq-deployment"]
    assert kept["spec"]["replicas"] == 5
    assert kept["metadata"]["annotations"]["their"] == "word"


NAMED = {"apiVersion": "a/v1", "kind": "Any", "metadata": {"name": "x"}}
ODD: Mapping[str, Any] = {
    "nothing": {},
    "no metadata": {"kind": "Deployment", "spec": {}},
    "text for all": {"kind": "Deployment", "metadata": "x", "spec": "x", "status": "x"},
    "null": {"kind": "Deployment", "metadata": None, "spec": None, "status": None},
    "conditions that are null": {**NAMED, "status": {"conditions": [None, "x", {}, {"type": "Ready"}]}},
    "conditions by name": {**NAMED, "status": {"conditions": {"Ready": "True"}}},
    "a condition of numbers": {**NAMED, "status": {"conditions": [{"type": "Ready", "status": 1, "message": 2}]}},
    "replicas in words": {
        **NAMED,
        "spec": {"replicas": "two"},
        "status": {"replicas": "many", "availableReplicas": {}},
    },
    "owners that are none": {"metadata": {"managedFields": [None, {}, {"manager": CROSSPLANE, "fieldsV1": "x"}]}},
    "annotations in a list": {"metadata": {"annotations": ["x"], "labels": "x"}, "spec": {"template": []}},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("spec", [{}, {"flavors": ["gone"]}, {"transport": "sqs"}, {"imagee": "x"}])
def test_no_odd_object_stops_the_function(odd: Manifest, spec: Manifest) -> None:
    observed = settled(actor())
    for key in (*observed, "sqs-queue", "pubsub-scaled-object", "unheard-of"):
        answer = call(actor(**spec), everything(), observed={**observed, key: odd})
        assert not answer.fatal
        assert answer.conditions


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_no_odd_object_of_the_namespace_stops_the_function(odd: Manifest) -> None:
    observed = settled(actor())
    metadata = {"name": "other", "namespace": "shop", "labels": {"asya.sh/transport": "rabbitmq"}}
    cluster = [
        {**odd, "apiVersion": version, "kind": kind, "metadata": metadata}
        for version, kind in (("keda.sh/v1alpha1", "ScaledObject"), ("apps/v1", "Deployment"))
    ]
    cluster.append({**odd, "apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": metadata})
    answer = call(actor(transport="sqs"), everything(), observed=observed, cluster=cluster)
    assert not answer.refused


@pytest.mark.parametrize(
    ("key", "said", "words"),
    [
        (
            "rabbitmq-policy",
            "Error 400\n\n[{&lt;&lt;&#34;consumer-timeout&#34;&gt;&gt;,1800000}] are not recognised policy settings\n",
            '[{<<"consumer-timeout">>,1800000}] are not recognised policy settings',
        ),
        (
            "rabbitmq-dead-letter-policy",
            "Error 400 (bad_request): Validation failed\n\n-1 is not a valid delivery limit\n",
            "-1 is not a valid delivery limit",
        ),
    ],
)
def test_a_broker_that_is_older_than_the_setting_says_which_one(key: str, said: str, words: str) -> None:
    observed = settled(actor())
    failed = {"type": "Ready", "status": "False", "reason": "FailedCreateOrUpdate", "message": said}
    observed[key]["status"]["conditions"] = [failed]
    _, reason, message = call(actor(), observed=observed).conditions["QueueReady"]
    assert reason == "Failed"
    assert words in message
    assert "transports.rabbitmq.version 4.0, which is newer than the broker: set it to the broker's version" in message


def test_what_else_the_broker_says_is_no_matter_of_versions() -> None:
    observed = settled(actor())
    failed = {"type": "Ready", "status": "False", "reason": "FailedCreateOrUpdate", "message": "no such &#39;/x&#39;"}
    observed["rabbitmq-queue"]["status"]["conditions"] = [failed]
    message = call(actor(), observed=observed).conditions["QueueReady"][2]
    assert "no such '/x'" in message
    assert "version" not in message


@pytest.mark.parametrize(
    ("key", "condition"), [("rabbitmq-queue", "QueueReady"), ("rabbitmq-scaled-object", "AutoscalerReady")]
)
def test_what_is_being_deleted_is_not_there(key: str, condition: str) -> None:
    """An actor that was deleted and made again finds its queue going, which takes what its controller says along."""
    observed = settled(actor())
    metadata = observed[key]["metadata"]
    metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    answer = call(actor(), observed=observed)

    status, _, message = answer.conditions[condition]
    assert status == "False"
    assert f"{observed[key]['kind']} {metadata['name']} is being deleted" in message
    assert answer.response.desired.composite.ready != fnv1.READY_TRUE
