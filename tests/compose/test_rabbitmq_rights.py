"""Rights at RabbitMQ: whom they name, in which order they are given, and what follows when a user is made anew."""

from __future__ import annotations

from typing import Any

from tests.compose.calls import Answer, Manifest, actor, as_observed, call, settled, username

NAME = username("resize-rabbitmq-user")
RIGHTS = ("Permission", "TopicPermission")


def rights(resources: dict[str, Manifest]) -> dict[str, Manifest]:
    return {key: each for key, each in resources.items() if each["kind"] in RIGHTS}


def key_of(resources: dict[str, Manifest], kind: str) -> str:
    return next(key for key, each in resources.items() if each["kind"] == kind)


def pods_annotations(answer: Answer) -> Any:
    return answer.resources["rabbitmq-deployment"]["spec"]["template"]["metadata"]["annotations"]


def made_again(observed: dict[str, Manifest], name: str | None) -> dict[str, Manifest]:
    """The User was deleted and is there again, so far without a name, or with another one."""
    user = observed["rabbitmq-user"]
    status = {"conditions": []} if name is None else {**user["status"], "username": name}
    return {**observed, "rabbitmq-user": {**user, "metadata": {**user["metadata"], "uid": "2"}, "status": status}}


def test_rights_name_the_user_and_never_its_object() -> None:
    """The operator would make the User the controller of its rights, and an object has one controller at most."""
    given = rights(settled(actor()))
    assert sorted(each["kind"] for each in given.values()) == ["Permission", "TopicPermission", "TopicPermission"]
    for each in given.values():
        assert each["spec"]["user"] == NAME
        assert "userReference" not in each["spec"]


def test_there_are_no_rights_before_the_user_has_a_name() -> None:
    first = call(actor())
    assert not rights(first.resources)
    assert first.conditions["IdentityReady"][0] == "False"
    nameless = as_observed(first)
    del nameless["rabbitmq-user"]["status"]["username"]
    answer = call(actor(), observed=nameless)
    assert not rights(answer.resources)
    message = "User resize-rabbitmq-user has no name at the broker yet"
    assert answer.conditions["IdentityReady"] == ("False", "Creating", message)


def test_what_narrows_a_users_rights_is_there_before_it_has_any() -> None:
    """Without a topic permission RabbitMQ allows every routing key."""
    observed = as_observed(call(actor()))
    narrow = call(actor(), observed=observed)
    assert {each["kind"] for each in rights(narrow.resources).values()} == {"TopicPermission"}
    observed = as_observed(narrow)
    late = next(key for key in rights(observed) if "delay" in key)
    observed[late]["status"]["conditions"] = []
    assert "Permission" not in {each["kind"] for each in call(actor(), observed=observed).resources.values()}
    given = call(actor(), observed=as_observed(narrow))
    assert "Permission" in {each["kind"] for each in given.resources.values()}
    assert given.conditions["IdentityReady"][0] == "False"


def test_a_right_that_exists_is_never_taken_away_while_something_is_looked_at_again() -> None:
    observed = settled(actor())
    for key, each in rights(observed).items():
        if each["kind"] == "TopicPermission":
            observed[key]["status"]["conditions"] = []
    assert rights(call(actor(), observed=observed).resources).keys() == rights(observed).keys()


def test_rights_of_another_user_are_other_objects() -> None:
    """The operator's webhook forbids to change whose a right is."""
    observed = settled(actor())
    before = rights(observed)
    waiting = call(actor(), observed=made_again(observed, None))
    assert {key: each["spec"] for key, each in rights(waiting.resources).items()} == {
        key: each["spec"] for key, each in before.items()
    }
    named = rights(call(actor(), observed=made_again(observed, "another")).resources)
    assert {each["spec"]["user"] for each in named.values()} == {"another"}
    assert not named.keys() & before.keys()
    names = {each["metadata"]["name"] for each in before.values()}
    assert not names & {each["metadata"]["name"] for each in named.values()}


def test_long_names_leave_room_for_whose_a_right_is() -> None:
    observed = settled(actor("a" * 60))
    before = {each["metadata"]["name"] for each in rights(observed).values()}
    named = rights(call(actor("a" * 60), observed=made_again(observed, "another")).resources)
    after = {each["metadata"]["name"] for each in named.values()}
    assert not before & after
    assert all(len(name) <= 63 for name in before | after)


def test_pods_restart_with_another_user_and_not_with_their_first() -> None:
    first = call(actor())
    observed = settled(actor())
    at_work = call(actor(), observed=observed)
    assert pods_annotations(at_work) == pods_annotations(first), "pods wait for their first credentials"
    assert pods_annotations(call(actor(), observed=made_again(observed, None))) == pods_annotations(first)
    again = made_again(observed, "another")
    restarted = call(actor(), observed=again)
    assert pods_annotations(restarted) != pods_annotations(first)
    then = call(actor(), observed={**as_observed(restarted), "rabbitmq-user": again["rabbitmq-user"]})
    assert pods_annotations(then) == pods_annotations(restarted), "once"


def binding_with(queue: str, key: str) -> Any:
    """What the binding says of its queue, when that one is there, is made anew, and is away."""
    observed = settled(actor())

    def told() -> Any:
        annotations: Manifest = call(actor(), observed=observed).resources[key]["metadata"]["annotations"]
        return annotations

    before = told()
    observed[queue]["metadata"]["uid"] = "another"
    observed[key]["metadata"]["annotations"] = after = told()
    del observed[queue]
    return before, after, told()


def test_bindings_are_made_again_with_another_queue() -> None:
    """The broker drops the bindings of a queue with it, and nothing else about their objects would change."""
    ways = {
        "binding": "queue",
        "delay-binding": "queue",
        "dead-letter-binding": "dead-letter-queue",
    }
    for key, queue in ways.items():
        before, after, away = binding_with(f"rabbitmq-{queue}", f"rabbitmq-{key}")
        assert before != after
        assert after == away, "nothing is made again while it is away"
