"""What the function asks for besides: for all actors of the namespace only where nothing less will do."""

from __future__ import annotations

from typing import ClassVar

import pytest
from tests.compose.calls import Answer, Manifest, actor, call, platform, settled
from tests.compose.test_bound import bound, everywhere

CREW = {"crew-x-sink", "crew-x-sump"}
ALL = "actors"


def asked(answer: Answer) -> set[str]:
    return set(answer.response.requirements.resources)


def again(composite: Manifest, settings: Manifest | None = None, *cluster: Manifest) -> Answer:
    """What the function says of an actor that is there."""
    found = call(composite, settings, observed=settled(composite, settings), cluster=cluster)
    assert not found.refused, found.refused
    return found


def test_all_actors_are_asked_for_at_birth() -> None:
    assert asked(call(actor())) == {ALL, *CREW, "exchange"}


def test_then_nothing_that_grows_with_their_number() -> None:
    assert asked(again(actor())) == {*CREW, "exchange"}
    assert asked(again(actor(), everywhere())) == {*CREW, "exchange", "elsewhere-sqs", "elsewhere-pubsub"}
    assert asked(again(actor(transport="sqs"), everywhere())) == {*CREW, "elsewhere-rabbitmq", "elsewhere-pubsub"}


def test_whatever_else_is_there_it_is_the_actors_own_transport_that_is_not_asked_for() -> None:
    """What is on another transport is none, as a rule; what is on the own one is everybody."""
    selectors = again(actor(), everywhere()).response.requirements.resources
    for name in ("sqs", "pubsub"):
        selector = selectors[f"elsewhere-{name}"]
        assert (selector.kind, selector.namespace) == ("ScaledObject", "shop")
        assert dict(selector.match_labels.labels) == {"asya.sh/transport": name}


@pytest.mark.parametrize(
    "composite",
    [actor(transport="pubsub"), bound()],
    ids=["each is granted to publish", "another may be bound to the workload"],
)
def test_some_must_know_all(composite: Manifest) -> None:
    assert ALL in asked(again(composite, everywhere()))


def test_who_leaves_a_transport_must_know_all() -> None:
    observed = settled(actor(), everywhere())
    assert ALL in asked(call(actor(transport="sqs"), everywhere(), observed=observed))


def test_whose_objects_are_another_actors_is_not_born_yet() -> None:
    observed = settled(actor(actor="before"))
    assert ALL in asked(call(actor(), observed=observed))


class TestElsewhere:
    def neighbour(self, **spec: object) -> Manifest:
        scaler: Manifest = settled(actor("other", **spec), everywhere())[f"{spec['transport']}-scaled-object"]
        return scaler

    def test_who_is_scaled_on_another_transport_is_named(self) -> None:
        told = again(actor(), everywhere(), self.neighbour(transport="sqs")).conditions["TransportMixed"]
        assert told == ("True", "Mixed", "from rabbitmq these of the namespace cannot be reached: other (sqs)")

    def test_who_leaves_it_is_not(self) -> None:
        leaving = self.neighbour(transport="sqs")
        leaving["metadata"]["annotations"] = {"asya.sh/left": "true"}
        assert again(actor(), everywhere(), leaving).conditions["TransportMixed"] == ("False", "Agreed", "")

    def test_who_is_in_another_namespace_is_not(self) -> None:
        far = self.neighbour(transport="sqs")
        far["metadata"]["namespace"] = "bank"
        assert again(actor(), everywhere(), far).conditions["TransportMixed"][0] == "False"


class TestCrew:
    LABELS: ClassVar[Manifest] = {"labels": {"asya.sh/crew": "true"}}

    @pytest.mark.parametrize("namespace", ["shop", "mesh"])
    def test_it_is_found_by_its_name(self, namespace: str) -> None:
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        metadata = {"namespace": namespace}
        crew = [{**actor(name, metadata=metadata), **ready} for name in ("x-sink", "x-sump")]
        settings = platform(**({"crewNamespace": "mesh"} if namespace == "mesh" else {}))
        assert again(actor(), settings, *crew).conditions["CrewReady"] == ("True", "Available", "")
        assert again(actor(), settings, crew[0]).conditions["CrewReady"][:2] == ("False", "CrewMissing")

    def test_so_its_object_is_called_like_it(self) -> None:
        (message,) = call(actor("sink", metadata=self.LABELS, actor="x-sink")).refused
        assert message.startswith("spec.actor: the object of x-sink must be called so too, not 'sink'")
        assert not call(actor("x-sink", metadata=self.LABELS)).refused
