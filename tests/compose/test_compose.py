"""What is composed, when it is ready, and what stays while something is waited for."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from tests.compose.calls import Answer, Manifest, actor, as_observed, at_work, call, platform, settled, username

WHOSE = hashlib.sha256(username("resize-rabbitmq-user").encode()).hexdigest()[:16]
RIGHTS = {f"{right}-{WHOSE}" for right in ("permission", "topic-permission", "delay-permission")}
OWN = {"user", *RIGHTS}
QUEUES = {
    "queue",
    "dead-letter-queue",
    "binding",
    "dead-letter-binding",
    "delay-binding",
    "policy",
    "dead-letter-policy",
}
WORK = {"deployment", "network-policy", "scaled-object", "trigger-authentication"}
SHARED = {"service-account", "pod-disruption-budget"}


def crew() -> list[Manifest]:
    # Crossplane writes a time that is not known as null.
    ready = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": None}]}
    return [{**actor(name), "status": ready} for name in ("x-sink", "x-sump")]


def container(answer: Answer, name: str) -> Manifest:
    pod = answer.resources["rabbitmq-deployment"]["spec"]["template"]["spec"]
    found: Manifest = next(each for each in [*pod["initContainers"], *pod["containers"]] if each["name"] == name)
    return found


def test_a_ten_line_manifest_becomes_everything_an_actor_needs() -> None:
    answer = call(actor())
    first = {"queue", "dead-letter-queue", "policy", "dead-letter-policy", "user"} | WORK - {"scaled-object"}
    assert set(answer.resources) == {f"rabbitmq-{key}" for key in first} | SHARED
    assert set(settled(actor())) == {f"rabbitmq-{key}" for key in OWN | QUEUES | WORK} | SHARED
    assert not any(answer.ready.values())
    assert answer.status["phase"] == "Creating"
    assert not answer.refused


def test_everything_is_ready_at_zero_replicas() -> None:
    answer = call(actor(), observed=settled(actor()))
    assert all(answer.ready.values()), answer.ready
    assert answer.status["phase"] == "Napping"
    assert {answer.conditions[f"{part}Ready"][0] for part in ("Queue", "Identity", "Autoscaler", "Workload")} == {
        "True"
    }


def test_it_is_ready_with_replicas() -> None:
    observed = settled(actor())
    observed["rabbitmq-deployment"]["spec"]["replicas"] = 2
    status: Manifest = {"observedGeneration": 1, "replicas": 2, "readyReplicas": 1, "availableReplicas": 1}
    observed["rabbitmq-deployment"]["status"] = status
    waiting = call(actor(), observed=observed)
    assert waiting.conditions["WorkloadReady"] == ("False", "Creating", "1 of 2 replicas are available")
    status |= {"readyReplicas": 2, "availableReplicas": 2}
    assert call(actor(), observed=observed).status["phase"] == "Ready"


def test_the_second_answer_is_the_first_byte_for_byte() -> None:
    observed = settled(actor())
    first, second = (call(actor(), observed=observed).response for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    stable = call(actor(), observed=as_observed(call(actor(), observed=observed)))
    assert stable.response.desired.resources == first.desired.resources


@pytest.mark.parametrize("key", sorted({f"rabbitmq-{key}" for key in OWN | QUEUES | WORK} | SHARED))
def test_no_resource_is_ready_before_it_is_there(key: str) -> None:
    observed = settled(actor())
    del observed[key]
    answer = call(actor(), observed=observed)
    assert not answer.ready[key]
    assert sum(not each for each in answer.ready.values()) == 1


@pytest.mark.parametrize("key", sorted({f"rabbitmq-{key}" for key in OWN | QUEUES} | {"rabbitmq-scaled-object"}))
def test_what_a_controller_complains_about_is_told(key: str) -> None:
    observed = settled(actor())
    failed = {"type": "Ready", "status": "False", "reason": "FailedCreateOrUpdate", "message": "no such vhost"}
    observed[key]["status"]["conditions"] = [failed]
    answer = call(actor(), observed=observed)
    assert answer.status["phase"] == "Degraded"
    assert "no such vhost" in answer.status["message"]
    assert [each for each in answer.warnings if "no such vhost" in each]
    said = [kind for kind, (status, reason, text) in answer.conditions.items() if reason == "Failed"]
    assert len(said) == 1
    again = actor()
    again["status"] = {"conditions": [{"type": said[0], "status": "False", "message": answer.conditions[said[0]][2]}]}
    assert not [each for each in call(again, observed=observed).warnings if "no such vhost" in each], "an event once"


def test_a_scaled_deployment_has_no_replicas_and_an_unscaled_one_no_scaler() -> None:
    assert "replicas" not in call(actor()).resources["rabbitmq-deployment"]["spec"]
    fixed = call(actor(scaling={"enabled": False}, replicas=3))
    assert fixed.resources["rabbitmq-deployment"]["spec"]["replicas"] == 3
    assert not {"rabbitmq-scaled-object", "rabbitmq-trigger-authentication"} & set(fixed.resources)
    assert fixed.conditions["AutoscalerReady"][:2] == ("True", "Disabled")


def test_the_pod_passes_the_restricted_profile_and_starts_in_order() -> None:
    connector = {"image": "state:1"}
    proxy = {"name": "checkpoints", "mount": {"path": "/state"}, "connector": connector}
    answer = call(actor(initContainers=[{"name": "fetch", "image": "busybox:1"}], stateProxy=[proxy]))
    pod = answer.resources["rabbitmq-deployment"]["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["fetch", "asya-state-checkpoints", "asya-sidecar"]
    assert [each.get("restartPolicy") for each in pod["initContainers"]] == [None, "Always", "Always"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in (*pod["initContainers"][1:], *pod["containers"]):
        assert each["securityContext"]["allowPrivilegeEscalation"] is False
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert each["resources"]["limits"]["memory"]
        names = [entry["name"] for entry in each.get("env", [])]
        assert len(names) == len(set(names))


def test_the_grace_period_outlasts_the_longest_call() -> None:
    pod = call(actor(resiliency={"actorTimeout": "1h"})).resources["rabbitmq-deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 3630
    given = call(actor(terminationGracePeriodSeconds=60))
    assert given.resources["rabbitmq-deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60


def test_no_password_stands_in_anything() -> None:
    env = {entry["name"]: entry for entry in container(call(actor()), "asya-sidecar")["env"]}
    assert env["ASYA_RABBITMQ_PASSWORD"] == {
        "name": "ASYA_RABBITMQ_PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "resize-rabbitmq-user-user-credentials", "key": "password"}},
    }


def test_keda_is_told_text_without_a_fraction() -> None:
    trigger = at_work(actor(scaling={"queueLength": 7})).resources["rabbitmq-scaled-object"]["spec"]["triggers"][0]
    assert trigger["metadata"]["value"] == "7"
    assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_the_claim_of_a_v1_composite_is_the_actor() -> None:
    composite = actor()
    composite["kind"] = "XAsyncActor"
    composite["metadata"] = {"name": "resize-x7k2p", "labels": {"crossplane.io/claim-name": "resize", "team": "a"}}
    composite["spec"] |= {
        "claimRef": {"name": "resize", "namespace": "shop"},
        "compositionRef": {"name": "asyncactors"},
    }
    deployment = call(composite).resources["rabbitmq-deployment"]
    assert (deployment["metadata"]["name"], deployment["metadata"]["namespace"]) == ("resize-rabbitmq", "shop")
    assert deployment["metadata"]["labels"]["team"] == "a"
    assert "crossplane.io/claim-name" not in deployment["metadata"]["labels"]


def test_only_the_namespaces_sink_brings_the_exchange() -> None:
    sink = actor("x-sink", metadata={"labels": {"asya.sh/crew": "true"}})
    exchange = call(sink).resources["rabbitmq-exchange"]
    assert exchange["spec"] == exchange["spec"] | {"name": "asya_shop", "type": "topic", "durable": True}
    assert "rabbitmq-exchange" not in call(actor()).resources


def test_missing_crew_is_told_and_holds_up_nothing() -> None:
    assert call(actor()).conditions["CrewReady"][:2] == ("False", "CrewMissing")
    assert call(actor(), cluster=crew()).conditions["CrewReady"][:2] == ("True", "Available")
    elsewhere = [{**each, "metadata": {**each["metadata"], "namespace": "mesh"}} for each in crew()]
    shared = platform(crewNamespace="mesh")
    assert call(actor(), shared, cluster=elsewhere).conditions["CrewReady"][0] == "True"
    assert call(actor(), shared, cluster=crew()).conditions["CrewReady"][0] == "False"


@pytest.mark.parametrize("namespace", ["shop", "mesh"])
def test_a_crew_on_another_transport_is_none(namespace: str) -> None:
    far = [{**each, "metadata": {**each["metadata"], "namespace": namespace}} for each in crew()]
    far[0] = {**far[0], "spec": {**far[0]["spec"], "transport": "sqs"}}
    settings = platform(**({"crewNamespace": namespace} if namespace == "mesh" else {}))
    status, reason, message = call(actor(), settings, cluster=far).conditions["CrewReady"]
    assert (status, reason) == ("False", "CrewUnreachable")
    assert message == f"actors on rabbitmq cannot reach these of namespace {namespace}: x-sink (sqs)"


def test_two_objects_cannot_be_the_same_actor() -> None:
    elder = actor("first", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"}, actor="resize")
    own = actor(metadata={"creationTimestamp": "2026-02-01T00:00:00Z"})
    assert "spec.actor: 'resize' is already the actor of 'first'" in call(own, cluster=[elder, own]).refused[0]
    assert not call(elder, cluster=[elder, own]).refused


def test_actors_on_another_transport_are_named() -> None:
    others = [actor("a"), actor("b"), actor("odd", transport="sqs")]
    status, reason, message = call(actor(), cluster=others).conditions["TransportMixed"]
    assert (status, reason) == ("True", "Mixed")
    assert "odd (sqs)" in message
    assert "a (rabbitmq)" not in message
    assert call(actor(), cluster=others[:2]).conditions["TransportMixed"][0] == "False"


class TestFlavors:
    def flavor(self, name: str, **data: Any) -> Manifest:
        version = "apiextensions.crossplane.io/v1beta1"
        metadata = {"name": name, "labels": {"asya.sh/flavor": name}}
        return {"apiVersion": version, "kind": "EnvironmentConfig", "metadata": metadata, "data": data}

    def test_maps_merge_lists_grow_and_the_actor_wins(self) -> None:
        gpu = self.flavor("gpu", resources={"limits": {"nvidia.com/gpu": "1"}}, env=[{"name": "A", "value": "gpu"}])
        spot = self.flavor(
            "spot",
            tolerations=[{"key": "spot", "operator": "Exists"}],
            scaling={"maxReplicaCount": 3, "minReplicaCount": 1},
        )
        own = actor(flavors=["gpu", "spot"], env=[{"name": "A", "value": "own"}, {"name": "B", "value": "b"}])
        own["spec"]["scaling"] = {"minReplicaCount": 0, "pollingInterval": 5}
        answer = at_work(own, cluster=[gpu, spot])
        assert not answer.refused
        runtime = container(answer, "asya-runtime")
        assert runtime["resources"]["limits"]["nvidia.com/gpu"] == "1"
        env = {entry["name"]: entry.get("value") for entry in runtime["env"]}
        assert (env["A"], env["B"]) == ("own", "b")
        scaled = answer.resources["rabbitmq-scaled-object"]["spec"]
        assert (scaled["minReplicaCount"], scaled["maxReplicaCount"], scaled["pollingInterval"]) == (0, 3, 5)
        assert answer.status["flavors"] == ["gpu", "spot"]
        assert answer.conditions["FlavorsResolved"] == ("True", "Resolved", "gpu, spot")

    def test_two_that_differ_are_both_named_with_the_place(self) -> None:
        one = self.flavor("one", resources={"limits": {"memory": "1Gi"}})
        two = self.flavor("two", resources={"limits": {"memory": "2Gi"}})
        (message,) = call(actor(flavors=["one", "two"]), cluster=[one, two]).refused
        assert message.startswith("spec.flavors: flavors 'one' and 'two' both give spec.resources.limits.memory")

    def test_two_variables_of_one_name_are_in_conflict(self) -> None:
        flavors = [self.flavor(name, env=[{"name": "A", "value": name}]) for name in ("one", "two")]
        (message,) = call(actor(flavors=["one", "two"]), cluster=flavors).refused
        assert "'one' and 'two' both give spec.env[A]" in message

    def test_a_missing_one_is_waited_for_and_what_exists_stays(self) -> None:
        observed = settled(actor())
        answer = call(actor(flavors=["gpu"]), observed=observed)
        assert answer.conditions["FlavorsResolved"][:2] == ("False", "FlavorMissing")
        assert "'gpu'" in answer.conditions["FlavorsResolved"][2]
        assert set(answer.resources) == set(observed)
        kept = answer.resources["rabbitmq-deployment"]
        assert "replicas" not in kept["spec"]
        assert not {"uid", "resourceVersion", "managedFields"} & set(kept["metadata"])
        assert "status" not in kept

    def test_wrong_content_is_told_with_the_flavor(self) -> None:
        (message,) = call(actor(flavors=["gpu"]), cluster=[self.flavor("gpu", imagee="x")]).refused
        assert "flavor 'gpu', data.imagee" in message
        (message,) = call(actor(flavors=["gpu"]), cluster=[self.flavor("gpu", transport="sqs")]).refused
        assert "which only an actor itself may say" in message


def test_policies_are_written_in_the_same_order_whatever_the_map_says() -> None:
    policies = {name: {"maxAttempts": 2} for name in ("zebra", "default", "busy", "a", "m")}
    answer = call(actor(resiliency={"policies": policies}))
    env = {each["name"]: each.get("value") for each in container(answer, "asya-sidecar")["env"]}
    assert list(json.loads(env["ASYA_RESILIENCY_POLICIES"])) == sorted(policies)


def test_an_actor_that_was_read_before_is_composed_as_at_first() -> None:
    """It is read once; nobody who composes it may change it."""
    spec = {"env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80}], "securityContext": {"runAsUser": 7}}
    tight, loose = platform(), platform(pods={"securityContext": {"privileged": False}, "labels": {"a": "b"}})
    first = [call(actor("reread", **spec), each).resources for each in (tight, loose)]
    again = [call(actor("reread", **spec), each).resources for each in (loose, tight)]
    assert first == again[::-1]
    assert first[0] != first[1]
