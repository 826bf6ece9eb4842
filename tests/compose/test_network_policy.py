"""What the network policy lets through: the broker wherever it is, DNS as clusters have it, Prometheus, a store."""

from __future__ import annotations

from typing import Any

import pytest
from tests.compose.calls import Manifest, actor, call, platform

STORE = {"to": [{"ipBlock": {"cidr": "52.218.0.0/17"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
SINK = {"labels": {"asya.sh/crew": "true"}}


def policy(settings: Manifest | None = None, name: str = "resize", **spec: Any) -> Manifest:
    answer = call(actor(name, metadata=SINK if name.startswith("x-") else None, **spec), settings)
    assert not answer.refused, answer.refused
    found: Manifest = answer.resources["rabbitmq-network-policy"]["spec"]
    return found


def rabbitmq(**changes: Any) -> Manifest:
    settings = platform()
    settings["transports"]["rabbitmq"] |= changes
    return settings


def to(block: str, port: int) -> Manifest:
    return {"to": [{"ipBlock": {"cidr": block}}], "ports": [{"port": port, "protocol": "TCP"}]}


class TestBroker:
    def test_outside_the_cluster_it_is_reached_by_its_addresses(self) -> None:
        settings = rabbitmq(host="b-1.mq.eu-central-1.amazonaws.com", tls=True, egressCidr="10.0.0.0/16")
        assert to("10.0.0.0/16", 5671) in policy(settings)["egress"]

    def test_in_another_namespace_than_its_secret_it_is_reached_there(self) -> None:
        settings = rabbitmq(host="rabbitmq.brokers.svc", brokerNamespace="brokers", brokerLabels={"app": "rabbitmq"})
        peer = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "brokers"}},
            "podSelector": {"matchLabels": {"app": "rabbitmq"}},
        }
        assert [peer] in [rule.get("to") for rule in policy(settings)["egress"]]

    @pytest.mark.parametrize(
        "host", ["b-1.mq.eu-central-1.amazonaws.com", "rabbitmq.brokers.svc", "rabbitmq.asya-system.svc,10.0.0.7"]
    )
    def test_a_secret_does_not_tell_where_it_is(self, host: str) -> None:
        (message,) = call(actor(), rabbitmq(host=host)).refused
        assert message.startswith("composition input, transports.rabbitmq: ")
        assert "brokerNamespace" in message
        assert "egressCidr" in message

    def test_a_cluster_of_the_operator_is_where_it_is(self) -> None:
        settings = rabbitmq(host="10.0.0.7", cluster={"namespace": "brokers", "name": "rabbitmq"})
        namespaces = [
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            for rule in policy(settings)["egress"]
            for peer in rule.get("to", [])
            if "namespaceSelector" in peer
        ]
        assert namespaces == ["kube-system", "brokers"]

    def test_it_is_outside_or_in_a_namespace_not_both(self) -> None:
        (message,) = call(actor(), rabbitmq(brokerNamespace="a", egressCidr="10.0.0.0/8")).refused
        assert "either egressCidr or brokerNamespace" in message

    @pytest.mark.parametrize(("tls", "port"), [(True, 5671), (False, 5672)])
    def test_the_port_follows_encryption(self, tls: bool, port: int) -> None:
        settings = rabbitmq(tls=tls)
        settings["transports"]["rabbitmq"].pop("port", None)
        answer = call(actor(), settings)
        pod = answer.resources["rabbitmq-deployment"]["spec"]["template"]["spec"]
        env = {each["name"]: each.get("value") for each in pod["initContainers"][-1]["env"]}
        assert env["ASYA_RABBITMQ_PORT"] == str(port)
        assert port in [
            each["port"]
            for rule in answer.resources["rabbitmq-network-policy"]["spec"]["egress"]
            for each in rule["ports"]
        ]


class TestDns:
    def test_a_cache_on_the_node_answers_too(self) -> None:
        dns = policy()["egress"][0]
        assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in dns["to"]
        assert dns["ports"] == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]

    def test_namespace_ports_and_caches_are_the_platforms_to_say(self) -> None:
        network = {"dnsNamespace": "openshift-dns", "dnsPorts": [5353], "dnsCidrs": []}
        dns = policy(platform(network=network))["egress"][0]
        named = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}}
        assert dns["to"] == [named]
        assert dns["ports"] == [{"port": 5353, "protocol": "UDP"}, {"port": 5353, "protocol": "TCP"}]


class TestScraping:
    PORTS = ({"containerPort": 9000},)

    def test_what_shall_be_scraped_can_be(self) -> None:
        found = policy(platform(network={}), podMonitor={}, ports=list(self.PORTS))
        assert found["ingress"] == [{"ports": [{"port": 8081, "protocol": "TCP"}]}]

    def test_the_platforms_wish_counts_as_well(self) -> None:
        assert policy(platform(network={}, podMonitor={}))["ingress"]

    def test_nobody_comes_in_when_nobody_asks(self) -> None:
        found = policy(platform(network={}))
        assert "Ingress" in found["policyTypes"]
        assert "ingress" not in found, "which is as good as an empty list"

    def test_only_prometheus_comes_in_where_it_is_known(self) -> None:
        peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        (rule,) = policy(platform(network={"scrapeFrom": [peer]}), podMonitor={}, ports=list(self.PORTS))["ingress"]
        assert rule["from"] == [peer]
        assert [each["port"] for each in rule["ports"]] == [8081, 9000]

    def test_an_interval_is_one_that_prometheus_takes(self) -> None:
        (message,) = call(actor(), platform(podMonitor={"interval": "1.5h"})).refused
        assert message.startswith("composition input, podMonitor.interval: ")


class TestStoreOfTheCrew:
    def test_the_platform_lets_the_crew_reach_it_and_nobody_else(self) -> None:
        settings = platform(network={"crewEgress": [STORE]})
        assert STORE in policy(settings, "x-sink")["egress"]
        assert STORE in policy(settings, "x-sump")["egress"]
        assert STORE not in policy(settings)["egress"]

    def test_the_crew_may_say_so_itself(self) -> None:
        assert STORE in policy(None, "x-sink", networkPolicy={"egress": [STORE]})["egress"]
