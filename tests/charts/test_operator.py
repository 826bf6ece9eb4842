"""The operator's chart gives the operator what it reads, calls it where it answers, and about its own Pods only."""

from __future__ import annotations

import kopf
import pytest
from tests.charts.conftest import Rendered
from tests.charts.scenarios import NAMESPACE, SCENARIOS, Manifest, Scenario

from asya.operator.handlers import register_webhook
from asya.operator.identity import INJECT
from asya.operator.settings import OperatorSettings
from asya.settings import load, misspelt, variables

OPERATOR = [scenario for scenario in SCENARIOS if scenario.chart == "asya-operator"]
SECRET = "http://user:password@broker:15672"


def only(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [item for item in manifests if item["kind"] == kind]
    return found


def container(manifests: list[Manifest]) -> Manifest:
    (found,) = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(manifests: list[Manifest]) -> dict[str, str]:
    """Return the container's variables as Kubernetes would fill them in."""
    found = {}
    for entry in container(manifests)["env"]:
        source = entry.get("valueFrom", {})
        filled = NAMESPACE if "fieldRef" in source else SECRET if "secretKeyRef" in source else None
        found[entry["name"]] = entry["value"] if filled is None else filled
    return found


@pytest.mark.parametrize("scenario", OPERATOR, ids=str)
def test_the_operator_reads_what_it_is_given(rendered: Rendered, scenario: Scenario) -> None:
    given = environment(rendered(scenario))
    settings = load(OperatorSettings, given)
    assert given.keys() <= {variable.name for _, variable in variables(OperatorSettings)}
    assert misspelt(OperatorSettings, given) == []
    assert settings.namespace == NAMESPACE
    ports = {port["name"]: port["containerPort"] for port in container(rendered(scenario))["ports"]}
    address = settings.webhook.address
    assert settings.health_address is not None
    assert ports == {"health": settings.health_address[1]} | ({"webhook": address[1]} if address else {})
    mounts = [each["mountPath"] for each in container(rendered(scenario))["volumeMounts"]]
    assert address is None or str(settings.webhook.certificate.parent) in mounts


def test_each_setting_can_be_given(rendered: Rendered) -> None:
    given = {name for scenario in OPERATOR for name in environment(rendered(scenario))}
    assert given == {variable.name for _, variable in variables(OperatorSettings)}


def test_the_webhook_is_called_where_the_operator_answers(rendered: Rendered) -> None:
    (webhook,) = only(rendered(Scenario("asya-operator", "default")), "MutatingWebhookConfiguration")["webhooks"]
    registry = kopf.OperatorRegistry()
    register_webhook(registry, None)  # type: ignore[arg-type]  # it is asked for nothing here
    (handler,) = registry._webhooks.get_all_handlers()
    assert webhook["clientConfig"]["service"]["path"] == f"/{handler.id}"
    (rule,) = webhook["rules"]
    assert rule["operations"] == list(handler.operations or ())
    assert rule["resources"] == ["pods"]


@pytest.mark.parametrize("scenario", OPERATOR, ids=str)
def test_nobody_else_s_pod_waits_for_the_operator(rendered: Rendered, scenario: Scenario) -> None:
    for configuration in rendered(scenario):
        if configuration["kind"] == "MutatingWebhookConfiguration":
            (webhook,) = configuration["webhooks"]
            assert webhook["objectSelector"] == {"matchExpressions": [{"key": INJECT, "operator": "Exists"}]}
            (spared,) = webhook["namespaceSelector"]["matchExpressions"]
            assert spared["operator"] == "NotIn"
            assert {"kube-system", NAMESPACE} <= set(spared["values"])
