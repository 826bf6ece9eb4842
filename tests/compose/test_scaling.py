"""The autoscaler's speed, and whom it trusts at the broker's management API."""

from __future__ import annotations

from typing import Any

import pytest
from tests.compose.calls import Manifest, actor, at_work, platform

CA = {"name": "rabbitmq-ca", "key": "ca.crt"}


def behavior(platforms: Manifest, own: Manifest) -> Manifest:
    settings = platform(scaling={"behavior": {"scaleDown": platforms}})
    scaling = {"advanced": {"behavior": {"scaleDown": own}}} if own else {}
    scaler = at_work(actor(scaling=scaling), settings).resources["rabbitmq-scaled-object"]
    config = scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
    found: Manifest = config["behavior"]["scaleDown"]
    return found


@pytest.mark.parametrize(
    ("platforms", "own", "policy"),
    [
        ({"selectPolicy": "Min"}, {}, "Min"),
        ({"selectPolicy": "Min"}, {"stabilizationWindowSeconds": 5}, "Min"),
        ({"selectPolicy": "Min"}, {"selectPolicy": "Max"}, "Max"),
        ({"selectPolicy": "Disabled"}, {"selectPolicy": "Min"}, "Min"),
        ({}, {}, "Max"),
    ],
)
def test_the_platforms_policy_counts_where_the_actor_says_nothing(
    platforms: Manifest, own: Manifest, policy: str
) -> None:
    assert behavior(platforms, own)["selectPolicy"] == policy


class TestTrust:
    def composed(self, url: str, ca: Manifest | None, **spec: Any) -> dict[str, Manifest]:
        settings = platform()
        settings["transports"]["rabbitmq"] |= {"managementUrl": url, "ca": ca}
        again = at_work(actor(**spec), settings)
        assert again.conditions["AutoscalerReady"][0] == "True"
        return again.resources

    def test_authorities_of_ones_own_are_the_autoscalers_too(self) -> None:
        found = self.composed("https://rabbitmq.asya-system.svc:15671", CA)
        given = {
            each["parameter"]: each for each in found["rabbitmq-trigger-authentication"]["spec"]["configMapTargetRef"]
        }
        assert given["ca"] == {"parameter": "ca", **CA}
        switch = found["rabbitmq-management-tls"]
        assert (switch["kind"], switch["metadata"]["name"]) == ("ConfigMap", given["tls"]["name"])
        assert switch["data"][given["tls"]["key"]] == "enable", "KEDA looks at the authorities only then"

    @pytest.mark.parametrize(
        ("url", "ca"), [("http://rabbitmq.asya-system.svc:15672", CA), ("https://rabbitmq.asya-system.svc:15671", None)]
    )
    def test_there_is_nothing_to_say_without_encryption_or_authorities(self, url: str, ca: Manifest | None) -> None:
        found = self.composed(url, ca)
        assert "configMapTargetRef" not in found["rabbitmq-trigger-authentication"]["spec"]
        assert "rabbitmq-management-tls" not in found

    def test_an_actor_that_is_not_scaled_has_none(self) -> None:
        found = self.composed("https://rabbitmq.asya-system.svc:15671", CA, scaling={"enabled": False}, replicas=0)
        assert "rabbitmq-management-tls" not in found
