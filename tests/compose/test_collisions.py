"""With the public project's names two actors of different namespaces may mean one queue: the first keeps it."""

from __future__ import annotations

import itertools

import pytest
from tests.compose.calls import Manifest, actor, as_observed, call, platform

from asya.transports.naming import QueueNames
from asya_composer.collisions import rivals
from asya_composer.composite import Claim

DASH = platform(queueNames="dash")


def of(namespace: str, name: str, created: str = "2026-02-01T00:00:00Z") -> Manifest:
    return actor(name, metadata={"namespace": namespace, "creationTimestamp": created})


ELDER = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (("a", "b-c"), ("a-b", "c")),
        (("a-b", "c"), ("a", "b-c")),
    ],
)
def test_the_younger_is_refused_and_keeps_what_it_has(own: tuple[str, str], other: tuple[str, str]) -> None:
    mine, theirs = of(*own), of(*other, created=ELDER)
    observed = as_observed(call(mine, DASH))
    refused = call(mine, DASH, observed=observed, cluster=[mine, theirs])
    _, reason, message = refused.conditions["WorkloadReady"]
    assert reason == "Refused"
    assert set(refused.resources) == set(observed)
    assert message.startswith(f"spec.actor: with queueNames: dash, {own[1]!r} would share a queue with {other[1]!r}")
    assert other[0] in message
    assert not call(theirs, DASH, cluster=[mine, theirs]).refused
    assert not call(mine, cluster=[mine, theirs]).refused, "names with underscores mean one thing"


def test_of_two_that_are_equally_old_one_is_refused() -> None:
    both = [of("a", "b-c"), of("a-b", "c")]
    assert sorted(bool(call(each, DASH, cluster=both).refused) for each in both) == [False, True]


def test_neighbours_that_only_look_alike_are_not_refused() -> None:
    cluster = [of("a", "b", ELDER), of("a-b", "d", ELDER), of("b", "c", ELDER)]
    assert not call(of("a", "b-c"), DASH, cluster=cluster).refused


def test_rivals_are_exactly_those_who_share_a_name() -> None:
    words = ["a", "b", "dlq"]
    names = ["-".join(parts) for length in (1, 2, 3) for parts in itertools.product(words, repeat=length)]
    actors = [name for name in names if not f"-{name}".endswith("-dlq")]  # others are refused already

    def queues(namespace: str, name: str) -> set[str]:
        made = QueueNames(namespace, "dash")
        return {made.queue(name), made.dead_letters(name)}

    for namespace, name in itertools.product(names[:12], actors[:12]):
        found = rivals(Claim(name, namespace, {}, {}))
        for place, other in itertools.product(names, actors):
            if place != namespace:
                shared = bool(queues(namespace, name) & queues(place, other))
                assert (other == found.get(place)) == shared, (namespace, name, place, other)
