"""What cannot be composed: the field is named, nothing is changed, and the condition says it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from crossplane.function.proto.v1 import run_function_pb2 as fnv1
from tests.compose.calls import Answer, Manifest, actor, call, platform, settled

VARIABLE = {"name": "A", "value": "1"}

# What is wrong -> spec, and how the message begins.
ACTORS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "unknown field": ({"imagee": "x"}, "spec.imagee: "),
    "wrong type": ({"replicas": "two"}, "spec.replicas: "),
    "number for text": ({"image": 5}, "spec.image: "),
    "fraction of a replica": ({"scaling": {"minReplicaCount": 0.5}}, "spec.scaling.minReplicaCount: "),
    "min over max": ({"scaling": {"minReplicaCount": 5, "maxReplicaCount": 2}}, "spec.scaling.minReplicaCount: "),
    "unknown policy": (
        {"resiliency": {"rules": [{"errors": ["E"], "policy": "nope"}]}},
        "spec.resiliency.rules[0].policy: ",
    ),
    "variable twice": ({"env": [VARIABLE, VARIABLE]}, "spec.env[1].name: "),
    "reserved variable": ({"env": [{"name": "ASYA_HANDLER", "value": "x"}]}, "spec.env[0].name: "),
    "reserved container": ({"sidecars": [{"name": "asya-x", "image": "y"}]}, "spec.sidecars[0].name: "),
    "name of 64": ({"actor": "a" * 64}, "spec.actor: "),
    "name of a dead-letter queue": ({"actor": "resize-dlq"}, "spec.actor: "),
    "name of all dead-letter queues": ({"actor": "dlq"}, "spec.actor: "),
    "name of the crew": ({"actor": "x-sink"}, "spec.actor: "),
    "wrong duration": ({"resiliency": {"actorTimeout": "5 minutes"}}, "spec.resiliency.actorTimeout: "),
    "no duration": ({"resiliency": {"actorTimeout": "0s"}}, "spec.resiliency.actorTimeout: "),
    "unknown transport": ({"transport": "kafka"}, "spec.transport: "),
    "transport that is not configured": ({"transport": "sqs"}, "spec.transport: "),
    "no image": ({"image": None}, "spec.image: "),
    "delayed messages": ({"scaling": {"scaleOnDelayed": True}}, "spec.scaling.scaleOnDelayed: "),
    "retained queue": ({"queue": {"deletionPolicy": "Retain"}}, "spec.queue.deletionPolicy: "),
    "flavors that are none": ({"flavors": 5}, "spec.flavors: "),
    "a flavor that is no name": ({"flavors": ["gpu", 5]}, "spec.flavors[1]: "),
    "nothing like a spec": ({"scaling": ["x"], "env": {"A": "1"}}, "spec.env: "),
    "null": ({"scaling": None}, "spec.scaling: "),
    "unknown field in a volume": ({"volumes": [{"name": "v", "emptyDirr": {}}]}, "spec.volumes[0].emptyDirr: "),
    "text for a probe's number": (
        {"probes": {"liveness": {"tcpSocket": {"port": 80}, "periodSeconds": "5"}}},
        "spec.probes.liveness.periodSeconds: expected a whole number of 32 bits",
    ),
    "misspelt affinity": ({"affinity": {"nodeAfinity": {}}}, "spec.affinity.nodeAfinity: "),
    "text for a user": ({"securityContext": {"runAsUser": "1"}}, "spec.securityContext.runAsUser: "),
    "unknown field of a container": (
        {"sidecars": [{"name": "s", "imagee": "i"}]},
        "spec.sidecars[0].imagee: unknown field; did you mean image?",
    ),
}


def refused(answer: Answer, observed: Mapping[str, Manifest], begins: str) -> None:
    """By status, condition and event, which name the field, and with nothing changed."""
    assert not answer.fatal, "Crossplane would drop the status"
    ((kind, message),) = (
        (kind, text) for kind, (status, reason, text) in answer.conditions.items() if (status, reason) == REFUSED
    )
    assert message.startswith(begins), message
    assert answer.warnings == [f"{kind}: {message}"]
    assert (answer.status["phase"], answer.status["message"]) == ("Degraded", message)
    assert answer.status["observedGeneration"] == GENERATION, "who waits for the generation to be looked at waits on"
    assert answer.response.desired.composite.ready == fnv1.READY_FALSE
    assert not any(answer.ready.values())
    unchanged(answer, observed)


REFUSED = ("False", "Refused")
GENERATION = 3
"""Of the actor of `calls.actor`."""


def unchanged(answer: Answer, observed: Mapping[str, Manifest]) -> None:
    assert set(answer.resources) == set(observed)
    for key, manifest in answer.resources.items():
        there = observed[key]
        spec = {name: value for name, value in there.get("spec", {}).items() if (name, key) != _SCALED}
        assert manifest.get("spec", {}) == spec, key
        assert manifest["metadata"].items() <= there["metadata"].items()
        assert (manifest["kind"], manifest["apiVersion"]) == (there["kind"], there["apiVersion"])


_SCALED = ("replicas", "rabbitmq-deployment")


@pytest.mark.parametrize(("spec", "begins"), ACTORS.values(), ids=ACTORS)
def test_a_wrong_actor_is_refused_by_its_field(spec: Mapping[str, Any], begins: str) -> None:
    observed = settled(actor())

    refused(call(actor(**spec), observed=observed), observed, begins)
    refused(call(actor(**spec)), {}, begins)


def flavor(name: str, **data: Any) -> Manifest:
    version = "apiextensions.crossplane.io/v1beta1"
    metadata = {"name": name, "labels": {"asya.sh/flavor": name}}
    return {"apiVersion": version, "kind": "EnvironmentConfig", "metadata": metadata, "data": data}


# What is wrong -> flavors of the cluster, and how the message begins. The actor wants `one` and `two`.
FLAVORS: Mapping[str, tuple[list[Manifest], str]] = {
    "two in conflict": (
        [flavor("one", nodeSelector={"gpu": "a100"}), flavor("two", nodeSelector={"gpu": "l4"})],
        "spec.flavors: flavors 'one' and 'two' both give spec.nodeSelector.gpu, and differ",
    ),
    "unknown field": ([flavor("one", imagee="x"), flavor("two")], "spec.flavors: flavor 'one', data.imagee: "),
    "wrong type": ([flavor("one", replicas="two"), flavor("two")], "spec.flavors: flavor 'one', data.replicas: "),
    "misspelt part of Kubernetes": (
        [flavor("one", affinity={"nodeAfinity": {}}), flavor("two")],
        "spec.flavors: flavor 'one', data.affinity.nodeAfinity: unknown field; did you mean nodeAffinity?",
    ),
    "wrong type in a part of Kubernetes": (
        [flavor("one", podSecurityContext={"fsGroup": "1"}), flavor("two")],
        "spec.flavors: flavor 'one', data.podSecurityContext.fsGroup: expected a whole number",
    ),
    "a word of a closed list missing": (
        [flavor("one", topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "z"}]), flavor("two")],
        "spec.flavors: flavor 'one', data.topologySpreadConstraints[0].whenUnsatisfiable: missing; expected one of Do",
    ),
    "an actor's own field": ([flavor("one", actor="x"), flavor("two")], "spec.flavors: flavor 'one' has 'actor'"),
    "wrong together with the actor": (
        [flavor("one", scaling={"minReplicaCount": 5}), flavor("two", scaling={"maxReplicaCount": 2})],
        "spec.scaling.minReplicaCount: ",
    ),
}


@pytest.mark.parametrize(("flavors", "begins"), FLAVORS.values(), ids=FLAVORS)
def test_a_wrong_flavor_is_refused_by_its_name(flavors: list[Manifest], begins: str) -> None:
    observed = settled(actor())
    refused(call(actor(flavors=["one", "two"]), observed=observed, cluster=flavors), observed, begins)
    refused(call(actor(flavors=["one", "two"]), cluster=flavors), {}, begins)


def test_a_missing_flavor_is_told_once_and_nothing_is_changed() -> None:
    observed = settled(actor())
    wanted = actor(flavors=["one", "two"])
    answer = call(wanted, observed=observed, cluster=[flavor("one")])
    message = "spec.flavors: there is no EnvironmentConfig 'two'"
    assert answer.conditions["FlavorsResolved"] == ("False", "FlavorMissing", message)
    assert answer.warnings == [f"FlavorsResolved: {message}"]
    assert (answer.status["phase"], answer.status["message"]) == ("Degraded", message)
    unchanged(answer, observed)
    assert answer.status["observedGeneration"] == GENERATION
    first = call(wanted, cluster=[flavor("one")])
    assert first.status == {"phase": "Degraded", "message": message, "observedGeneration": GENERATION}
    assert not first.resources
    condition = {"type": "FlavorsResolved", "status": "False", "reason": "FlavorMissing", "message": message}
    again = {**wanted, "status": {"conditions": [condition]}}
    assert call(again, observed=observed, cluster=[flavor("one")]).warnings == []


@pytest.mark.parametrize("name", ["a" * 64, "resize-dlq", "dlq", "x-sink"])
def test_a_name_that_is_none_for_an_actor_is_refused(name: str) -> None:
    observed = settled(actor())
    refused(call(actor(name), observed=observed), observed, "metadata.name: ")
    refused(call(actor(name)), {}, "metadata.name: ")


def test_several_mistakes_are_told_at_once() -> None:
    (message,) = call(actor(imagee="x", replicas="two")).refused
    assert "spec.imagee: " in message
    assert "spec.replicas: " in message


def test_a_call_that_an_old_broker_cannot_wait_for_is_refused() -> None:
    settings = platform()
    settings["transports"]["rabbitmq"]["version"] = "3.10"
    (message,) = call(actor(resiliency={"actorTimeout": "30m"}), settings).refused
    assert message.startswith("spec.resiliency.actorTimeout: RabbitMQ 3.10 takes a delivery back after 30m")
    assert not call(actor(resiliency={"actorTimeout": "29m"}), settings).refused


def test_a_composite_without_a_namespace_is_refused() -> None:
    composite = actor()
    del composite["metadata"]["namespace"]
    assert call(composite).fatal == ["metadata.namespace: missing; an actor lives in a namespace"]


SETTINGS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "unknown": ({"sidecarr": {}}, "composition input, sidecarr: "),
    "no sidecar": ({"sidecar": None}, "composition input, sidecar: "),
    "another version": ({"apiVersion": "composer.asya.sh/v2"}, "composition input, apiVersion: "),
    "unknown transport": (
        {"defaultTransport": "kafka"},
        "composition input, defaultTransport: expected one of rabbitmq, sqs, pubsub",
    ),
    "both references": (
        {
            "transports": {
                "rabbitmq": {
                    "cluster": {"name": "a", "connectionSecret": "b"},
                    "host": "h",
                    "managementUrl": "http://h:15672",
                }
            }
        },
        "composition input, transports.rabbitmq.cluster: ",
    ),
}


@pytest.mark.parametrize(("changes", "begins"), SETTINGS.values(), ids=SETTINGS)
def test_a_wrong_input_is_refused_by_its_field(changes: Mapping[str, Any], begins: str) -> None:
    observed = settled(actor())
    refused(call(actor(), platform(**changes)), {}, begins)
    refused(call(actor(), platform(**changes), observed=observed), observed, begins)
