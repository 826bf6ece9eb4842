"""Which EnvironmentConfig is a flavor, and what of it stays under an actor's own spec."""

from __future__ import annotations

from typing import Any

from tests.compose.calls import Answer, Manifest, actor, call

TINI = ["tini", "--"]
PYTHON = ["python3", "serve.py"]
ZONE = {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}


def flavor(name: str, *, labelled: bool = True, **data: Any) -> Manifest:
    labels = {"asya.sh/flavor": name} if labelled else {}
    metadata = {"name": name, "labels": labels}
    version = "apiextensions.crossplane.io/v1beta1"
    return {"apiVersion": version, "kind": "EnvironmentConfig", "metadata": metadata, "data": data}


def pod(answer: Answer) -> Manifest:
    assert not answer.refused, answer.refused
    found: Manifest = answer.resources["rabbitmq-deployment"]["spec"]["template"]["spec"]
    return found


def test_only_what_is_labelled_is_a_flavor() -> None:
    env = [{"name": "PASSWORD", "value": "hunter2"}]
    foreign = flavor("platform-db", labelled=False, env=env)
    answer = call(actor(flavors=["platform-db"]), cluster=[foreign])
    (message,) = answer.refused
    assert message.startswith("spec.flavors: EnvironmentConfig 'platform-db' is no flavor")
    assert "PASSWORD" not in message
    assert "hunter2" not in str(answer.response)


def test_content_of_what_is_no_flavor_is_not_told() -> None:
    (message,) = call(
        actor(flavors=["database"]), cluster=[flavor("database", labelled=False, dsn="postgres://")]
    ).refused
    assert "dsn" not in message


def test_a_command_of_ones_own_takes_the_place_of_a_flavors() -> None:
    tini = flavor("tini", command=TINI, args=["a"])
    (handler,) = pod(call(actor(flavors=["tini"], command=PYTHON, args=["b"]), cluster=[tini]))["containers"]
    assert handler["command"] == PYTHON
    assert handler["args"] == ["b"]
    (handler,) = pod(call(actor(flavors=["tini"]), cluster=[tini]))["containers"]
    assert handler["command"] == TINI


def test_a_port_is_another_one_with_another_protocol() -> None:
    dns = flavor("dns", ports=[{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}])
    same = flavor("same", ports=[{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 54}])
    (message,) = call(actor(flavors=["dns", "same"]), cluster=[dns, same]).refused
    assert message.startswith("spec.flavors: flavors 'dns' and 'same' both give spec.ports[53/TCP]")
    own = [{"containerPort": 53, "protocol": "TCP", "name": "dns"}, {"containerPort": 53, "protocol": "SCTP"}]
    (handler,) = pod(call(actor(flavors=["dns"], ports=own[1:]), cluster=[dns]))["containers"]
    assert [(each["containerPort"], each["protocol"]) for each in handler["ports"]] == [
        (53, "UDP"),
        (53, "TCP"),
        (53, "SCTP"),
    ]


def test_two_flavors_with_different_commands_are_in_conflict() -> None:
    flavors = [flavor("tini", command=TINI), flavor("plain", command=PYTHON)]
    (message,) = call(actor(flavors=["tini", "plain"]), cluster=flavors).refused
    assert message.startswith("spec.flavors: flavors 'tini' and 'plain' both give spec.command")
    same = [flavor("one", command=TINI), flavor("two", command=TINI)]
    (handler,) = pod(call(actor(flavors=["one", "two"]), cluster=same))["containers"]
    assert handler["command"] == TINI


def test_node_terms_of_ones_own_are_no_alternative_to_a_flavors() -> None:
    def terms(zone: str) -> Manifest:
        wanted = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": wanted}}}

    answer = call(actor(flavors=["zone"], affinity=terms("b")), cluster=[flavor("zone", affinity=terms("a"))])
    assert pod(answer)["affinity"] == terms("b")


def test_a_spread_constraint_of_ones_own_takes_the_place_of_the_same_of_a_flavor() -> None:
    below = flavor("spread", topologySpreadConstraints=[{**ZONE, "maxSkew": 1}])
    own = [{**ZONE, "maxSkew": 3}, {**ZONE, "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 2}]
    found = pod(call(actor(flavors=["spread"], topologySpreadConstraints=own), cluster=[below]))
    assert [each["maxSkew"] for each in found["topologySpreadConstraints"]] == [3, 2]
