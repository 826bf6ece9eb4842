"""The broker that docs/start/kind.md brings up is the one that the values file and the tests on kind mean."""

from __future__ import annotations

from typing import Any

import yaml
from tests.cluster.plan import ROOT

BROKER = ROOT / "examples" / "cluster" / "rabbitmq.yaml"
VALUES = ROOT / "charts" / "asya" / "values-rabbitmq.yaml"
PAGE = ROOT / "docs" / "start" / "kind.md"


def broker() -> dict[str, Any]:
    found = {each["kind"]: each for each in yaml.safe_load_all(BROKER.read_text())}
    assert set(found) == {"Namespace", "Secret", "Service", "StatefulSet"}
    return found


def test_the_broker_is_where_the_values_file_says() -> None:
    values = yaml.safe_load(VALUES.read_text())["asya-crossplane"]["composition"]["input"]["transports"]["rabbitmq"]
    objects = broker()
    secret, service = objects["Secret"], objects["Service"]
    assert values["cluster"] == {
        "namespace": secret["metadata"]["namespace"],
        "connectionSecret": secret["metadata"]["name"],
    }
    assert values["host"] == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert values["managementUrl"] == secret["stringData"]["uri"]
    (container,) = objects["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"rabbitmq:{values['version']}-management"


def test_service_pods_and_login_fit_together() -> None:
    objects = broker()
    template = objects["StatefulSet"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert objects["Service"]["spec"]["selector"] == template["metadata"]["labels"]
    assert objects["StatefulSet"]["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert {each["targetPort"]: each["port"] for each in objects["Service"]["spec"]["ports"]} == ports
    asked = {each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"]}
    assert asked <= set(objects["Secret"]["stringData"])


def test_actors_of_the_page_may_use_it() -> None:
    allowed = broker()["Secret"]["metadata"]["annotations"]["rabbitmq.com/topology-allowed-namespaces"]
    assert f"kubectl create namespace {allowed}\n" in PAGE.read_text()
