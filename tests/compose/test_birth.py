"""The first pods: none before queue and rights are there, and none that the autoscaler would take away again."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from tests.compose.calls import CROSSPLANE, Answer, Manifest, actor, as_observed, call, platform, settled
from tests.compose.cloud.actors import PUBSUB, SQS

FIXED = {"scaling": {"enabled": False}, "replicas": 2}


def everywhere(transport: str = "rabbitmq") -> Manifest:
    return platform(transports={**platform()["transports"], "sqs": SQS, "pubsub": PUBSUB}, defaultTransport=transport)


def steps(transport: str = "rabbitmq", **spec: Any) -> list[Answer]:
    """What is said from the first look until all is at work, as each controller does its work at once."""
    answers = [call(actor(**spec), everywhere(transport))]
    while len(answers) < 3 or answers[-1].resources != answers[-2].resources:
        assert len(answers) < 12, "it composes something else each time"
        observed = as_observed(answers[-1])
        answers.append(call(actor(**spec), everywhere(transport), observed=observed, cluster=observed.values()))
    return answers


def paused(answer: Answer, transport: str = "rabbitmq") -> bool:
    said = answer.resources[f"{transport}-deployment"]["spec"].get("paused", False)
    assert isinstance(said, bool)
    return said


def unborn(*, told: dict[str, tuple[str, str]], replicas: int = 1, **spec: Any) -> Answer:
    """An actor whose Deployment waits, when KEDA's ScaledObject says so and so by its conditions."""
    observed = deepcopy(settled(actor(**spec)))
    deployment = observed["rabbitmq-deployment"]
    deployment["spec"] |= {"replicas": replicas, "paused": True}
    deployment["metadata"]["managedFields"] = [{"manager": CROSSPLANE, "fieldsV1": {"f:spec": {"f:paused": {}}}}]
    conditions = [{"type": kind, "status": status, "reason": reason} for kind, (status, reason) in told.items()]
    observed["rabbitmq-scaled-object"]["status"] = {"conditions": conditions}
    return call(actor(**spec), observed=observed)


@pytest.mark.parametrize("transport", ["rabbitmq", "sqs", "pubsub"])
@pytest.mark.parametrize("spec", [{}, FIXED, {"scaling": {"minReplicaCount": 2}}], ids=["to-zero", "fixed", "least"])
def test_no_pod_starts_before_its_queue_and_its_rights(transport: str, spec: Manifest) -> None:
    first, *_, last = answers = steps(transport, **spec)
    held = [answer for answer in answers if f"{transport}-deployment" in answer.resources and paused(answer, transport)]
    assert held
    assert not paused(last, transport), "for good"
    for answer in answers:
        ready = answer.conditions["QueueReady"][0] == answer.conditions["IdentityReady"][0] == "True"
        assert ready or answer in held or f"{transport}-deployment" not in answer.resources
    assert first.conditions["WorkloadReady"][0] == "False"
    assert last.conditions["WorkloadReady"][0] == "True"


def test_the_workload_says_what_it_waits_for() -> None:
    first, second, *_ = steps()
    assert "the first pods wait: " in first.conditions["WorkloadReady"][2]
    assert "Queue resize-rabbitmq-queue is being created" in first.conditions["WorkloadReady"][2]
    assert "is being created" in second.conditions["WorkloadReady"][2]
    assert "autoscaling waits: " in first.conditions["AutoscalerReady"][2]


def test_the_scaler_comes_once_its_first_look_can_succeed() -> None:
    """Its next one is a whole polling interval later."""
    for before, answer in zip(steps(), steps()[1:], strict=False):
        if "rabbitmq-scaled-object" in answer.resources and "rabbitmq-scaled-object" not in before.resources:
            assert answer.conditions["QueueReady"][0] == answer.conditions["IdentityReady"][0] == "True"
            assert {"rabbitmq-deployment", "rabbitmq-trigger-authentication"} <= before.resources.keys()
            assert paused(answer)
            return
    pytest.fail("it never comes")


ACTIVE, IDLE = ("True", "ScalerActive"), ("False", "ScalerNotActive")
READY, UNREADY, UNKNOWN = ("True", "ScaledObjectReady"), ("False", "TriggerError"), ("Unknown", "")


@pytest.mark.parametrize(
    ("told", "replicas", "scaling"),
    [
        pytest.param({"Ready": READY, "Active": ACTIVE}, 1, {}, id="messages-wait"),
        pytest.param({"Ready": UNKNOWN, "Active": ACTIVE}, 1, {}, id="one-trigger-of-two-fails"),
        pytest.param({"Ready": READY, "Active": IDLE}, 0, {}, id="nothing-waits"),
        pytest.param({"Ready": READY, "Active": UNKNOWN}, 0, {}, id="keda-forgot-what-it-saw"),
        pytest.param({"Ready": READY, "Active": IDLE}, 2, {"minReplicaCount": 2}, id="least"),
        pytest.param({"Ready": READY}, 1, {"minReplicaCount": 2}, id="least-before-the-first-look"),
        pytest.param({"Ready": READY, "Active": IDLE}, 0, {"minReplicaCount": 2, "idleReplicaCount": 0}, id="idle"),
        pytest.param(
            {"Ready": READY, "Active": ("False", "ScalerCooldown")}, 1, {"initialCooldownPeriod": 300}, id="cooldown"
        ),
        pytest.param({"Ready": READY, "Paused": ("True", "ScaledObjectPaused")}, 1, {"paused": True}, id="paused"),
        pytest.param(
            {"Ready": READY, "Paused": ("True", "ScaledObjectPaused")}, 0, {"pausedReplicaCount": 0}, id="paused-at"
        ),
        pytest.param(
            {"Ready": READY, "Active": IDLE, "Fallback": ("True", "FallbackExists")},
            1,
            {"fallback": {"failureThreshold": 3, "replicas": 2}},
            id="fallback",
        ),
    ],
)
def test_pods_start_once_the_autoscaler_has_decided(
    told: dict[str, tuple[str, str]], replicas: int, scaling: Manifest
) -> None:
    assert not paused(unborn(told=told, replicas=replicas, scaling=scaling))


@pytest.mark.parametrize(
    ("told", "scaling"),
    [
        pytest.param({}, {}, id="not-seen"),
        pytest.param({"Ready": READY, "Active": UNKNOWN}, {}, id="not-looked"),
        pytest.param({"Ready": UNREADY, "Active": IDLE}, {}, id="cannot-look"),
        pytest.param({"Ready": READY, "Active": IDLE}, {}, id="looked-and-not-scaled-yet"),
        pytest.param(
            {"Ready": READY, "Active": IDLE}, {"minReplicaCount": 2, "idleReplicaCount": 0}, id="not-idle-yet"
        ),
        pytest.param(
            {"Ready": READY, "Paused": ("True", "ScaledObjectPaused")},
            {"pausedReplicaCount": 0},
            id="not-paused-at",
        ),
    ],
)
def test_pods_wait_while_it_has_not(told: dict[str, tuple[str, str]], scaling: Manifest) -> None:
    answer = unborn(told=told, scaling=scaling)
    assert paused(answer)
    status, reason, message = answer.conditions["WorkloadReady"]
    assert (status, reason) == ("False", "Creating")
    assert "ScaledObject resize-rabbitmq" in message


@pytest.mark.parametrize("spec", [{}, FIXED], ids=["scaled", "fixed"])
def test_pods_that_were_there_are_never_held_up(spec: Manifest) -> None:
    """Such as those of an actor that an older version has composed."""
    observed = settled(actor(**spec))
    for key in ("rabbitmq-queue", "rabbitmq-user"):
        observed[key]["status"]["conditions"] = []
    observed.pop("rabbitmq-scaled-object", None)
    answer = call(actor(**spec), observed=observed)
    assert not paused(answer)
    assert ("rabbitmq-scaled-object" in answer.resources) == (not spec), "nor is their scaler, once it is lost"


def held_up(manager: str) -> dict[str, Manifest]:
    observed = settled(actor())
    deployment = observed["rabbitmq-deployment"]
    deployment["spec"]["paused"] = True
    own = {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}}
    deployment["metadata"]["managedFields"] = [*deployment["metadata"]["managedFields"], own]
    return observed


@pytest.mark.parametrize("spec", [{}, {"flavors": ["gone"]}, {"imagee": "x"}], ids=["composed", "waiting", "refused"])
def test_whoever_holds_up_a_rollout_is_left_alone(spec: Manifest) -> None:
    answer = call(actor(**spec), observed=held_up("kubectl-rollout"))
    assert "paused" not in answer.resources["rabbitmq-deployment"]["spec"]


@pytest.mark.parametrize("spec", [{"flavors": ["gone"]}, {"imagee": "x"}], ids=["waiting", "refused"])
def test_a_birth_is_held_up_while_the_actor_cannot_be_composed(spec: Manifest) -> None:
    first = as_observed(call(actor()))
    assert paused(call(actor(**spec), observed=first))


def test_a_deployment_that_is_made_again_starts_as_the_first_did() -> None:
    observed = settled(actor())
    del observed["rabbitmq-deployment"]
    assert paused(call(actor(), observed=observed))
    observed["rabbitmq-scaled-object"]["status"]["conditions"][1] = {"type": "Active", "status": "True"}
    assert not paused(call(actor(), observed=observed)), "KEDA has seen messages, and sees to the number"
    fixed = settled(actor(**FIXED))
    del fixed["rabbitmq-deployment"]
    assert not paused(call(actor(**FIXED), observed=fixed))


def test_on_a_move_the_new_pods_wait_and_the_old_ones_do_not() -> None:
    observed = settled(actor())
    observed["rabbitmq-scaled-object"]["status"]["conditions"][1] = {"type": "Active", "status": "True"}
    there = [observed["rabbitmq-scaled-object"], observed["rabbitmq-deployment"]]
    answer = call(actor(transport="pubsub"), everywhere(), observed=observed, cluster=there)
    assert paused(answer, "pubsub")
    assert not paused(answer, "rabbitmq")


def test_a_transport_on_which_nothing_was_born_is_left_at_once() -> None:
    observed = as_observed(call(actor()))
    deployment = observed["rabbitmq-deployment"]
    deployment["spec"]["replicas"] = 1
    answer = call(actor(transport="pubsub"), everywhere(), observed=observed, cluster=[deployment])
    assert not [key for key in answer.resources if key.startswith("rabbitmq-")]


class TestBindings:
    def bindings(self, answer: Answer) -> set[str]:
        return {key.removeprefix("rabbitmq-") for key in answer.resources if key.endswith("binding")}

    def test_each_comes_when_what_it_ties_together_is_there(self) -> None:
        first = call(actor())
        assert not self.bindings(first)
        observed = as_observed(first)
        observed["rabbitmq-queue"]["status"]["conditions"] = []
        assert self.bindings(call(actor(), observed=observed)) == {"dead-letter-binding"}
        assert len(self.bindings(call(actor(), observed=as_observed(first)))) == 3

    def test_without_the_exchange_the_queue_is_not_ready_and_says_so(self) -> None:
        observed = as_observed(call(actor()))
        answer = call(actor(), observed=observed, exchange=False)
        assert self.bindings(answer) == {"delay-binding"}
        again = call(actor(), observed=as_observed(answer), exchange=False)
        status, _, message = again.conditions["QueueReady"]
        assert status == "False"
        assert "Binding resize-rabbitmq-binding waits for Exchange shop/x-sink-rabbitmq-exchange" in message

    def test_crossplane_looks_again_soon_as_it_watches_no_object_of_another_actor(self) -> None:
        waiting = call(actor(), exchange=False).response
        assert waiting.meta.ttl.seconds == 10
        assert waiting.desired.composite.ready == 2, "not by what is composed, which is all ready in the end"
        at_work = call(actor(), observed=settled(actor())).response
        assert at_work.meta.ttl.seconds == 60
        assert at_work.desired.composite.ready == 0

    def test_what_has_waited_for_long_is_looked_at_as_seldom_as_all(self) -> None:
        made = {"creationTimestamp": "2020-01-01T00:00:00Z"}
        assert call(actor(metadata=made), exchange=False).response.meta.ttl.seconds == 60

    def test_how_often_the_others_are_looked_at_is_the_platforms_to_say(self) -> None:
        seldom, often = platform(lookAgainSeconds=600), platform(lookAgainSeconds=20)
        crew = [
            {**actor(name), "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
            for name in ("x-sink", "x-sump")
        ]

        def seconds(settings: Manifest, *cluster: Manifest) -> int:
            observed = settled(actor(), settings, cluster=crew)
            answer = call(actor(), settings, observed=observed, cluster=cluster)
            return int(answer.response.meta.ttl.seconds)

        assert [seconds(each, *crew) for each in (seldom, often)] == [600, 20]
        assert [seconds(each) for each in (seldom, often)] == [60, 20], "without a crew, which may come"
        assert call(actor(), seldom, exchange=False).response.meta.ttl.seconds == 10, "it waits"

    def test_what_exists_stays_without_them(self) -> None:
        observed = settled(actor())
        observed["rabbitmq-queue"]["status"]["conditions"] = []
        assert len(self.bindings(call(actor(), observed=observed, exchange=False))) == 3


def empty(value: Any, at: str = "") -> list[str]:
    """Where in a value there is an empty map or list, or nothing."""
    if isinstance(value, dict):
        found = [each for name, child in value.items() for each in empty(child, f"{at}.{name}")]
        return found if value else [at]
    if isinstance(value, list):
        return [each for child in value for each in empty(child, f"{at}[]")] if value else [at]
    return [at] if value is None else []


@pytest.mark.parametrize("transport", ["rabbitmq", "sqs", "pubsub"])
def test_nothing_is_composed_that_the_server_would_not_keep(transport: str) -> None:
    """A write at each look is an event, and the event is the cause of the next look."""
    found = {f"{key}{place}" for key, each in steps(transport)[-1].resources.items() for place in empty(each)}
    # A volume of this kind says no more; the server keeps it.
    assert {place for place in found if not place.endswith(".emptyDir")} == set()


def test_keda_takes_nothing_out_of_what_is_composed() -> None:
    """It writes the whole ScaledObject once, without what is false, and would do so after each of our writes."""

    def advanced(**spec: Any) -> Manifest:
        found: Manifest = steps(scaling={"advanced": spec})[-1].resources["rabbitmq-scaled-object"]["spec"]["advanced"]
        return found

    assert "restoreToOriginalReplicaCount" not in advanced(restoreToOriginalReplicaCount=False)
    assert advanced(restoreToOriginalReplicaCount=True)["restoreToOriginalReplicaCount"] is True
