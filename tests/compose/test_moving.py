"""From one transport to another: what is on the old one stays until nothing can come there any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.compose.calls import Answer, Manifest, actor, call, platform, settled

LEFT = {"asya.sh/left": "true"}
SQS = {"region": "eu-central-1", "accountId": "123456789012", "oidcProvider": "oidc.example.org/id/1"}


def both(**changes: object) -> Manifest:
    settings = platform(**changes)
    settings["transports"]["sqs"] = SQS
    return settings


def before(**spec: object) -> dict[str, Manifest]:
    observed = settled(actor(**spec), both())
    observed["rabbitmq-deployment"]["spec"]["replicas"] = 2
    observed["rabbitmq-deployment"]["status"] |= {"replicas": 2, "availableReplicas": 2}
    active = {"type": "Active", "status": "True"}
    observed["rabbitmq-scaled-object"]["status"]["conditions"][1] = active
    return observed


def old(observed: dict[str, Manifest]) -> list[Manifest]:
    return [observed["rabbitmq-scaled-object"], observed["rabbitmq-deployment"]]


def moved(observed: dict[str, Manifest], *others: Manifest, **spec: object) -> Answer:
    answer = call(actor(transport="sqs", **spec), both(), observed=observed, cluster=[*old(observed), *others])
    assert not answer.refused, answer.refused
    return answer


def idle(observed: dict[str, Manifest]) -> dict[str, Manifest]:
    """Nothing to do and no pod, and its scaler has been told that it is left."""
    observed["rabbitmq-scaled-object"]["status"]["conditions"][1] = {"type": "Active", "status": "False"}
    observed["rabbitmq-scaled-object"]["metadata"]["annotations"] = LEFT
    observed["rabbitmq-deployment"]["spec"]["replicas"] = 0
    observed["rabbitmq-deployment"]["status"] = {"observedGeneration": 1}
    return observed


def of(answer: Answer, transport: str) -> set[str]:
    return {key for key in answer.resources if key.startswith(f"{transport}-")}


def test_both_sets_exist_while_the_old_one_works() -> None:
    observed = before()
    answer = moved(observed)
    assert of(answer, "rabbitmq") == {key for key in observed if key.startswith("rabbitmq-")}
    assert "sqs-queue" in answer.resources
    assert answer.status["transport"] == "sqs"
    status, reason, message = answer.conditions["TransportMoved"]
    assert (status, reason) == ("False", "Draining")
    assert "ScaledObject resize-rabbitmq is active" in message
    names = {(each["kind"], each["metadata"]["name"]) for each in answer.resources.values()}
    assert len(names) == len(answer.resources), "old and new have names of their own"


def test_the_old_set_may_go_to_zero_whatever_the_actor_says() -> None:
    spec = {"scaling": {"minReplicaCount": 2, "paused": True}}
    scaler = moved(before(**spec), **spec).resources["rabbitmq-scaled-object"]
    assert scaler["spec"]["minReplicaCount"] == 0
    assert scaler["metadata"]["annotations"] == LEFT


def test_an_unscaled_actor_gets_a_scaler_to_leave_by() -> None:
    spec = {"scaling": {"enabled": False}, "replicas": 2}
    observed = settled(actor(**spec), both())
    answer = call(actor(transport="sqs", **spec), both(), observed=observed, cluster=[observed["rabbitmq-deployment"]])
    assert "rabbitmq-scaled-object" in answer.resources
    assert "sqs-scaled-object" not in answer.resources


def test_the_old_set_goes_when_it_is_idle() -> None:
    answer = moved(idle(before()))
    assert not of(answer, "rabbitmq")
    assert of(answer, "sqs")
    assert answer.conditions["TransportMoved"][:2] == ("True", "Moved")


def test_it_stays_while_another_actor_is_not_idle_there() -> None:
    observed = idle(before())
    other = {**before()["rabbitmq-scaled-object"]}
    other["metadata"] = {**other["metadata"], "name": "other-rabbitmq"}
    answer = moved(observed, other)
    assert of(answer, "rabbitmq")
    assert "other-rabbitmq is active" in answer.conditions["TransportMoved"][2]


def test_it_stays_while_another_actor_shall_be_there() -> None:
    answer = moved(idle(before()), actor("other"))
    assert of(answer, "rabbitmq")
    assert answer.conditions["TransportMoved"][2].endswith("other of this namespace shall be on it")
    assert answer.conditions["TransportMixed"][0] == "True"


def was_active(observed: dict[str, Manifest], ago: float, cooldown: int | None) -> dict[str, Manifest]:
    scaler = observed["rabbitmq-scaled-object"]
    scaler["status"]["lastActiveTime"] = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="seconds")
    if cooldown is None:
        del scaler["spec"]["cooldownPeriod"]
    else:
        scaler["spec"]["cooldownPeriod"] = cooldown
    return observed


def test_a_scaler_is_told_first_that_it_is_left() -> None:
    """An actor without pods had its own cooldown until now, which may be shorter than its retries."""
    observed = idle(before())
    del observed["rabbitmq-scaled-object"]["metadata"]["annotations"]
    answer = moved(observed)
    assert answer.resources["rabbitmq-scaled-object"]["metadata"]["annotations"] == LEFT
    assert "resize-rabbitmq has yet to be told" in answer.conditions["TransportMoved"][2]


def test_all_scalers_of_the_namespace_are_told_first() -> None:
    observed = idle(before())
    other = idle(before())["rabbitmq-scaled-object"]
    other["metadata"] = {**other["metadata"], "name": "other-rabbitmq", "annotations": {}}
    assert "other-rabbitmq has yet to be told" in moved(observed, other).conditions["TransportMoved"][2]


@pytest.mark.parametrize(("ago", "cooldown"), [(50, 60), (290, None)])
def test_a_message_that_waits_for_a_retry_finds_its_actor_which_has_no_pod(ago: float, cooldown: int | None) -> None:
    observed = was_active(idle(before()), ago, cooldown)
    first, second = moved(observed), moved(observed)
    assert of(first, "rabbitmq")
    message = first.conditions["TransportMoved"][2]
    assert "ScaledObject resize-rabbitmq waits until " in message
    assert second.conditions["TransportMoved"][2] == message, "an event at every look would be one too many"


@pytest.mark.parametrize(("ago", "cooldown"), [(70, 60), (310, None), (1, 0)])
def test_after_its_cooldown_it_goes(ago: float, cooldown: int | None) -> None:
    answer = moved(was_active(idle(before()), ago, cooldown))
    assert not of(answer, "rabbitmq")
    assert answer.conditions["TransportMoved"][:2] == ("True", "Moved")


@pytest.mark.parametrize("odd", [None, 5, "yesterday", {}, ""])
def test_an_odd_time_holds_nothing_up(odd: Any) -> None:
    observed = was_active(idle(before()), 10, 60)
    observed["rabbitmq-scaled-object"]["status"]["lastActiveTime"] = odd
    assert not of(moved(observed), "rabbitmq")
