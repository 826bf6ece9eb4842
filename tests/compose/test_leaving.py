"""Leaving a transport goes well: old pods keep what they need, nothing is dropped, and no old rule is in the way."""

from __future__ import annotations

from typing import Any

import pytest
from tests.compose.calls import CROSSPLANE, Answer, Manifest, actor, call, platform, settled
from tests.compose.cloud.actors import PUBSUB, SQS

LEFT = {"asya.sh/left": "true"}
ROLE = "eks.amazonaws.com/role-arn"


def everything(**changes: Any) -> Manifest:
    rabbitmq = platform()["transports"]["rabbitmq"]
    return platform(transports={"rabbitmq": rabbitmq, "sqs": SQS, "pubsub": PUBSUB}, **changes)


def at_work(transport: str, **spec: Any) -> dict[str, Manifest]:
    """An actor on `transport` with messages and two replicas."""
    observed = settled(actor(transport=transport, **spec), everything())
    deployment = observed[f"{transport}-deployment"]
    deployment["spec"]["replicas"] = 2
    deployment["status"] |= {"replicas": 2, "availableReplicas": 2}
    scaler = observed.get(f"{transport}-scaled-object")
    if scaler is not None:
        scaler["status"]["conditions"][1] = {"type": "Active", "status": "True"}
    return observed


def moved(observed: dict[str, Manifest], to: str, settings: Manifest | None = None, **spec: Any) -> Answer:
    cluster = [each for each in observed.values() if each["kind"] in ("ScaledObject", "Deployment")]
    return call(actor(transport=to, **spec), settings or everything(), observed=observed, cluster=cluster)


def of(answer: Answer, transport: str) -> set[str]:
    return {key for key in answer.resources if key.startswith(f"{transport}-")}


def test_pods_of_the_old_transport_keep_their_identity() -> None:
    observed = at_work("sqs")
    role = observed["service-account"]["metadata"]["annotations"][ROLE]
    account = moved(observed, "rabbitmq").resources["service-account"]
    assert account["metadata"]["annotations"][ROLE] == role
    pods = moved(observed, "rabbitmq").resources["sqs-deployment"]["spec"]["template"]["spec"]
    assert pods["serviceAccountName"] == account["metadata"]["name"]


def test_it_goes_with_the_old_transport() -> None:
    observed = at_work("sqs")
    observed["sqs-scaled-object"]["status"]["conditions"][1]["status"] = "False"
    observed["sqs-scaled-object"]["metadata"]["annotations"] = LEFT
    observed["sqs-deployment"]["spec"]["replicas"] = 0
    observed["sqs-deployment"]["status"] = {"observedGeneration": 1}
    account = moved(observed, "rabbitmq").resources["service-account"]
    assert ROLE not in account["metadata"].get("annotations", {})


def test_two_transports_can_be_left_at_once() -> None:
    first, second = at_work("rabbitmq"), at_work("pubsub")
    observed = {**second, **first}
    answer = moved(observed, "sqs")
    for transport in ("rabbitmq", "pubsub"):
        assert of(answer, transport) == {key for key in observed if key.startswith(f"{transport}-")}
    status, reason, message = answer.conditions["TransportMoved"]
    assert (status, reason) == ("False", "Draining")
    assert "what is on rabbitmq stays" in message
    assert "what is on pubsub stays" in message


def test_one_that_is_empty_goes_while_another_is_not() -> None:
    first, second = at_work("rabbitmq"), settled(actor(transport="pubsub"), everything())
    second["pubsub-scaled-object"]["metadata"]["annotations"] = LEFT
    answer = moved({**second, **first}, "sqs")
    assert of(answer, "rabbitmq")
    assert not of(answer, "pubsub")
    assert answer.conditions["TransportMoved"][1] == "Draining"


# From where to where, and what of the actor the old one does not allow.
MOVES: list[tuple[str, str, dict[str, Any]]] = [
    ("rabbitmq", "sqs", {"scaling": {"scaleOnDelayed": True}}),
    ("pubsub", "sqs", {"scaling": {"scaleOnInFlight": False}}),
    ("pubsub", "rabbitmq", {"queue": {"deliveryLimit": 3}}),
    ("sqs", "rabbitmq", {"resiliency": {"actorTimeout": "13h"}}),
]


@pytest.mark.parametrize(("old", "new", "spec"), MOVES)
def test_rules_of_the_old_transport_are_not_in_the_way(old: str, new: str, spec: dict[str, Any]) -> None:
    observed = at_work(old)
    answer = moved(observed, new, **spec)
    assert not answer.refused
    assert answer.status["transport"] == new
    assert f"{new}-queue" in answer.resources or f"{new}-topic" in answer.resources
    assert of(answer, old) == {key for key in observed if key.startswith(f"{old}-")}
    assert answer.conditions["TransportMoved"][1] == "Draining"


@pytest.mark.parametrize(("old", "new"), [("sqs", "pubsub"), ("pubsub", "rabbitmq"), ("rabbitmq", "sqs")])
def test_the_last_message_counts_on_what_is_left(old: str, new: str) -> None:
    """Also one that waits for a retry, where the broker tells; and fewer than pods usually start for."""
    scaler = moved(at_work(old), new, scaling={"activationQueueLength": 7}).resources[f"{old}-scaled-object"]
    metadata = scaler["spec"]["triggers"][0]["metadata"]
    assert {value for name, value in metadata.items() if name.startswith("activation")} == {"0"}
    assert metadata.get("scaleOnDelayed", "true") == "true"


def patience(old: str, new: str, **spec: Any) -> int:
    scaler = moved(at_work(old), new, **spec).resources[f"{old}-scaled-object"]["spec"]
    assert scaler["initialCooldownPeriod"] <= scaler["cooldownPeriod"]
    return int(scaler["cooldownPeriod"])


@pytest.mark.parametrize(("old", "new", "least"), [("pubsub", "rabbitmq", 300), ("sqs", "pubsub", 60)])
def test_a_number_that_may_be_minutes_old_is_not_believed_at_once(old: str, new: str, least: int) -> None:
    assert patience(old, new, scaling={"cooldownPeriod": 5}) == least


# A policy, and for how long a message can wait in all for the retries by it.
WAITS: list[tuple[dict[str, Any], int]] = [
    ({"maxAttempts": 4, "backoff": "constant", "initialDelay": "20s", "jitter": False}, 60),
    ({"maxAttempts": 4, "backoff": "linear", "initialDelay": "10s", "jitter": False}, 60),
    ({"maxAttempts": 4, "backoff": "exponential", "initialDelay": "10s", "jitter": False}, 70),
    ({"maxAttempts": 4, "backoff": "constant", "initialDelay": "20s"}, 90),
    ({"maxAttempts": 4, "backoff": "constant", "initialDelay": "20s", "maxInterval": "22s"}, 66),
    ({"maxAttempts": 4, "backoff": "constant", "initialDelay": "20s", "maxDuration": "50s"}, 50),
    ({"maxAttempts": 1_000_000_000, "initialDelay": "1s", "maxDuration": "10m"}, 600),
    ({"maxAttempts": 101, "initialDelay": "5m", "jitter": False}, 30_000),
    # What crashes is tried again, whatever the policies say.
    ({"maxAttempts": 1}, 5),
]


@pytest.mark.parametrize(("policy", "seconds"), WAITS)
def test_what_waits_for_a_retry_at_rabbitmq_finds_its_actor(policy: dict[str, Any], seconds: int) -> None:
    """It is in no queue of the actor, so the pods stay for as long as it can be away; and the numbers lag."""
    spec = {"scaling": {"cooldownPeriod": 5, "pollingInterval": 2}, "resiliency": {"policies": {"rare": policy}}}
    assert patience("rabbitmq", "sqs", **spec) == seconds + 2 + 15


def test_a_longer_cooldown_of_the_actors_own_stays() -> None:
    assert patience("rabbitmq", "sqs", scaling={"cooldownPeriod": 3600}) == 3600


def test_a_scaler_that_is_made_for_the_move_waits_as_long() -> None:
    """It has seen nothing yet, so KEDA counts from its birth."""
    retried = {"default": {"maxAttempts": 2, "backoff": "constant", "initialDelay": "100s", "jitter": False}}
    spec = {**FIXED, "resiliency": {"policies": retried}}
    observed = settled(actor(transport="rabbitmq", **spec), everything())
    scaler = moved(observed, "sqs", **spec).resources["rabbitmq-scaled-object"]["spec"]
    assert scaler["initialCooldownPeriod"] == 100 + scaler["pollingInterval"] + 15


def test_a_set_that_cannot_be_composed_any_more_waits_as_long() -> None:
    settings = everything(defaultTransport="sqs")
    del settings["transports"]["rabbitmq"]
    spec = {"scaling": {"cooldownPeriod": 5, "pollingInterval": 2}, "resiliency": {"policies": {"rare": WAITS[0][0]}}}
    scaler = moved(at_work("rabbitmq", **spec), "sqs", settings, **spec).resources["rabbitmq-scaled-object"]["spec"]
    assert scaler["cooldownPeriod"] == 60 + 2 + 15


def test_a_set_that_cannot_be_composed_any_more_may_still_go_to_zero() -> None:
    observed = at_work("pubsub", scaling={"minReplicaCount": 2, "idleReplicaCount": 0, "paused": True})
    answer = moved(observed, "rabbitmq", queue={"deliveryLimit": 3})
    scaler = answer.resources["pubsub-scaled-object"]
    there = observed["pubsub-scaled-object"]["spec"]
    kept = {name: value for name, value in there.items() if name != "idleReplicaCount"}
    assert there["minReplicaCount"] == 2
    assert scaler["spec"] == {**kept, "minReplicaCount": 0}
    assert not any("paused" in name for name in scaler["metadata"].get("annotations", {}))
    assert "as it is (spec.queue.deliveryLimit: " in answer.conditions["TransportMoved"][2]


def test_a_platform_that_forgot_the_old_transport_leaves_it_as_it_is() -> None:
    settings = everything(defaultTransport="sqs")
    del settings["transports"]["rabbitmq"]
    observed = at_work("rabbitmq")
    answer = moved(observed, "sqs", settings)
    assert not answer.refused
    assert "sqs-queue" in answer.resources
    assert of(answer, "rabbitmq") == {key for key in observed if key.startswith("rabbitmq-")}
    assert "this platform has no RabbitMQ" in answer.conditions["TransportMoved"][2]
    for key in of(answer, "rabbitmq"):
        kept, there = answer.resources[key].get("spec", {}), observed[key].get("spec", {})
        assert {**there, **kept} == {**there, **({"minReplicaCount": 0} if "scaled" in key else {})}, key


def owned(observed: dict[str, Manifest], manager: str) -> Manifest:
    """The Deployment, with the number of its replicas in `manager`'s hands."""
    fields = {"f:spec": {"f:replicas": {}}}
    entries = [{"manager": manager, "operation": "Update", "subresource": "scale", "fieldsV1": fields}]
    metadata = {**observed["rabbitmq-deployment"]["metadata"], "managedFields": entries}
    return {**observed["rabbitmq-deployment"], "metadata": metadata}


FIXED = {"scaling": {"enabled": False}, "replicas": 5}


def test_a_fixed_number_of_replicas_stays_until_the_autoscaler_has_it() -> None:
    """Crossplane would take the number away by leaving it out, and one replica be left."""
    observed = settled(actor(**FIXED))
    scaled = call(actor(), observed=observed).resources["rabbitmq-deployment"]
    assert scaled["spec"]["replicas"] == 5
    taken = {**observed, "rabbitmq-deployment": owned(observed, "kube-controller-manager")}
    assert "replicas" not in call(actor(), observed=taken).resources["rabbitmq-deployment"]["spec"]


def test_a_fixed_number_of_replicas_works_off_the_old_queue() -> None:
    observed = settled(actor(transport="rabbitmq", **FIXED), everything())
    answer = moved(observed, "sqs", **FIXED)
    assert answer.resources["rabbitmq-deployment"]["spec"]["replicas"] == 5


def test_a_fixed_number_of_replicas_goes_by_an_autoscaler_where_its_set_cannot_be_composed() -> None:
    observed = settled(actor(transport="pubsub", **FIXED), everything())
    assert "pubsub-scaled-object" not in observed
    answer = moved(observed, "rabbitmq", queue={"deliveryLimit": 3}, **FIXED)
    assert "as it is (spec.queue.deliveryLimit: " in answer.conditions["TransportMoved"][2]
    scaler, deployment = answer.resources["pubsub-scaled-object"], answer.resources["pubsub-deployment"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaler["spec"]["minReplicaCount"] == 0
    assert deployment["spec"]["replicas"] == 5


def test_a_fixed_number_of_replicas_is_stopped_when_its_transport_is_gone_and_all_else_is_idle() -> None:
    settings = everything(defaultTransport="sqs")
    observed = settled(actor(transport="rabbitmq", **FIXED), settings)
    del settings["transports"]["rabbitmq"]
    other = at_work("rabbitmq")["rabbitmq-scaled-object"]
    other = {**other, "metadata": {**other["metadata"], "name": "other-rabbitmq"}}

    def answered(cluster: list[Manifest], there: dict[str, Manifest]) -> Answer:
        return call(actor(transport="sqs", **FIXED), settings, observed=there, cluster=cluster)

    busy = answered([other, observed["rabbitmq-deployment"]], observed)
    assert busy.resources["rabbitmq-deployment"]["spec"]["replicas"] == 5, "others may still send to it"
    stopped = answered([observed["rabbitmq-deployment"]], observed).resources["rabbitmq-deployment"]
    assert {**stopped["spec"], "replicas": 5} == observed["rabbitmq-deployment"]["spec"]
    assert stopped["spec"]["replicas"] == 0
    ending = {**observed["rabbitmq-deployment"], "spec": stopped["spec"]}
    assert of(answered([ending], {**observed, "rabbitmq-deployment": ending}), "rabbitmq"), "its pods are ending"
    gone = {**ending, "status": {}}
    assert not of(answered([gone], {**observed, "rabbitmq-deployment": gone}), "rabbitmq")


@pytest.mark.parametrize("why", [{"flavors": ["gone"]}, {"imagee": "x"}], ids=["flavor", "field"])
def test_a_fixed_number_of_replicas_stays_while_the_actor_cannot_be_composed(why: dict[str, Any]) -> None:
    observed = settled(actor(**FIXED))
    assert call(actor(**FIXED, **why), observed=observed).resources["rabbitmq-deployment"]["spec"]["replicas"] == 5
    for manager in ("keda", CROSSPLANE):
        there = {**observed, "rabbitmq-deployment": owned(observed, manager)}
        kept = call(actor(**FIXED, **why), observed=there).resources["rabbitmq-deployment"]["spec"]
        assert ("replicas" in kept) == (manager == CROSSPLANE)
