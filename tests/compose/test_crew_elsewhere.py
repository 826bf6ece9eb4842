"""One crew for all namespaces: it keeps their exchanges, and every message finds its end there."""

from __future__ import annotations

from typing import Any

import pytest
from tests.compose.calls import Answer, Manifest, actor, as_observed, at_work, call, exchange_called, platform, settled

from asya_composer.names import exchange_object

CREW = {"asya.sh/crew": "true"}
SHARED = platform(crewNamespace="mesh")


def of(namespace: str, name: str, **spec: Any) -> Manifest:
    labels = CREW if name.startswith("x-") else {}
    return actor(name, metadata={"namespace": namespace, "labels": labels}, **spec)


def specs(answer: Answer, kind: str) -> list[Manifest]:
    return [each["spec"] for each in answer.resources.values() if each["kind"] == kind]


def exchanges(*cluster: Manifest) -> list[Manifest]:
    """What x-sink of mesh makes for the actors of the cluster."""
    made = as_observed(call(of("mesh", "x-sink"), SHARED, cluster=cluster))
    return [each for each in made.values() if each["kind"] == "Exchange"]


def test_the_sink_keeps_the_exchange_of_every_namespace() -> None:
    cluster = [of("shop", "resize"), of("bank", "till"), of("cloud", "far", transport="sqs"), of("mesh", "x-sink")]
    answer = call(of("mesh", "x-sink"), SHARED, cluster=cluster)
    assert {each["name"] for each in specs(answer, "Exchange")} == {"asya_mesh", "asya_bank", "asya_shop"}


@pytest.mark.parametrize("name", ["x-sink", "x-sump"])
def test_what_ends_in_a_namespace_comes_to_the_crew(name: str) -> None:
    shop = of("shop", "resize")
    answer = at_work(of("mesh", name), SHARED, cluster=[shop, *exchanges(shop)])
    ways = [(each["source"], each["routingKey"], each["destination"]) for each in specs(answer, "Binding")]
    assert ("asya_shop", name, f"asya_mesh_{name}") in ways
    assert len([source for source, _, _ in ways if source == "asya_shop"]) == 1


def test_only_the_sink_keeps_exchanges_and_only_the_crew_knows_the_cluster() -> None:
    assert not specs(call(of("mesh", "x-sump"), SHARED, cluster=[of("shop", "resize")]), "Exchange")
    assert "everywhere" not in call(actor(), SHARED).response.requirements.resources
    assert "everywhere" not in call(of("mesh", "x-sink")).response.requirements.resources


def test_an_exchange_stays_when_the_last_actor_goes() -> None:
    sink = of("mesh", "x-sink")
    before = settled(sink, SHARED, cluster=[of("shop", "resize")])
    after = call(sink, SHARED, observed=before)
    assert set(after.resources) == set(before)


def test_a_crew_beside_the_one_for_all_is_refused() -> None:
    observed = as_observed(call(of("shop", "x-sink")))
    _, reason, message = call(of("shop", "x-sink"), SHARED, observed=observed).conditions["WorkloadReady"]
    assert reason == "Refused"
    assert message == "spec.actor: the platform has one x-sink for all, in namespace mesh; delete this one"


@pytest.mark.parametrize(("settings", "place"), [(platform(), "shop"), (SHARED, "mesh")])
def test_bindings_are_made_again_with_another_exchange(settings: Manifest, place: str) -> None:
    """Whoever deletes an exchange deletes its bindings at the broker; nothing would tell the operator."""
    namespace, name = exchange_object("shop", settings.get("crewNamespace"))
    assert namespace == place
    sink = call(of(place, "x-sink"), settings, cluster=[of("shop", "resize")])
    made = next(
        each
        for each in sink.resources.values()
        if each["kind"] == "Exchange" and each["spec"]["name"] == "asya_shop" and each["metadata"]["name"] == name
    )

    def annotated(uid: str, observed: dict[str, Manifest], *, ready: bool = True) -> Answer:
        exchange = exchange_called(name, place, uid=uid, ready=ready)
        assert (made["metadata"]["name"], made["metadata"]["namespace"]) == (name, place)
        return call(actor(), settings, observed=observed, cluster=[exchange] if uid else [], exchange=False)

    def named(answer: Answer) -> set[str | None]:
        bindings = [each["metadata"] for each in answer.resources.values() if each["kind"] == "Binding"]
        return {each.get("annotations", {}).get("asya.sh/exchange") for each in bindings}

    none = annotated("", as_observed(annotated("", {})))
    assert named(none) == {None}, "that of the ladder, whose exchange is the platform's"
    first = annotated("one", as_observed(none))
    assert named(first) == {"one"}
    assert named(annotated("", as_observed(first))) == {"one"}, "nothing is made again while it is away"
    assert named(annotated("two", as_observed(first), ready=False)) == {"one"}, "nor before it is at the broker"
    assert named(annotated("two", as_observed(first))) == {"two"}


@pytest.mark.parametrize("name", ["x-sink", "x-sump"])
def test_what_leads_to_the_crew_is_made_again_with_another_exchange(name: str) -> None:
    """The exchanges are x-sink's, so x-sump must ask for them."""
    shop, crew = of("shop", "resize"), of("mesh", name)
    made = exchanges(shop)

    def annotated(uid: str, observed: dict[str, Manifest]) -> Answer:
        there = [{**each, "metadata": {**each["metadata"], "uid": each["spec"]["name"] + uid}} for each in made]
        return call(crew, SHARED, observed=observed, cluster=[shop, *there] if uid else [shop])

    def known(answer: Answer) -> dict[str, str | None]:
        annotations = {each["metadata"]["name"]: each["metadata"].get("annotations", {}) for each in bindings(answer)}
        return {key: each.get("asya.sh/exchange") for key, each in annotations.items()}

    def bindings(answer: Answer) -> list[Manifest]:
        return [each for each in answer.resources.values() if each["kind"] == "Binding"]

    first = annotated("-1", settled(crew, SHARED, cluster=[shop, *made]))
    assert known(first)[f"{name}-rabbitmq-serves-shop"] == "asya_shop-1"
    assert known(first)[f"{name}-rabbitmq-binding"] == "asya_mesh-1"
    assert known(annotated("", as_observed(first))) == known(first), "nothing is made again while it is away"
    assert known(annotated("-2", as_observed(first)))[f"{name}-rabbitmq-serves-shop"] == "asya_shop-2"
