"""Values that are wrong are refused, with the place of the mistake; all others are described."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts_values import ChartError, Value, read_values
from pyhelm3 import Client
from pyhelm3.errors import Error
from tests.charts.binaries import needed
from tests.charts.scenarios import CHARTS, SCENARIOS, render

RABBITMQ = next(scenario for scenario in SCENARIOS if str(scenario) == "asya-crossplane/rabbitmq").values

INPUT = "composition.input"


def rabbitmq(path: str, value: Any) -> dict[str, Any]:
    """Return good values of asya-crossplane with one that is wrong."""
    found: dict[str, Any] = json.loads(json.dumps(RABBITMQ))
    *above, last = path.split(".")
    node = found
    for name in above:
        node = node.setdefault(name, {})
    node[last] = value
    return found


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "misspelt": ("asya-crossplane", rabbitmq("functions", {}), "functions"),
    "misspelt, deep": ("asya-crossplane", rabbitmq("function.package.digestt", "x"), "digestt"),
    "misspelt setting": (
        "asya-crossplane",
        rabbitmq(f"{INPUT}.defaultTransports", "sqs"),
        "defaultTransports",
    ),
    "unknown transport": (
        "asya-crossplane",
        rabbitmq(f"{INPUT}.defaultTransport", "kafka"),
        "defaultTransport",
    ),
    "transport without settings": (
        "asya-crossplane",
        rabbitmq(f"{INPUT}.defaultTransport", "sqs"),
        "transports.sqs",
    ),
    "no broker": ("asya-crossplane", {}, "transports.rabbitmq"),
    "account of eleven digits": (
        "asya-crossplane",
        rabbitmq("composition.input.transports.sqs", {"region": "eu-central-1", "accountId": "12345678901"}),
        "accountId",
    ),
    "scope": ("asya-crossplane", rabbitmq("xrd.scope", "Cluster"), "scope"),
    "short digest": ("asya-crossplane", rabbitmq("function.package.digest", "sha256:abc"), "digest"),
    "secret without name": (
        "asya-crossplane",
        rabbitmq("providers.aws.config", {"install": True, "source": "Secret", "secretRef": {"namespace": "a"}}),
        "secretRef.name",
    ),
    "no project": ("asya-crossplane", rabbitmq("providers.gcp.config", {"install": True}), "projectID"),
    "mode": ("asya-crew", {"mode": "helm"}, "mode"),
    "field that no actor has": ("asya-crew", {"sink": {"spec": {"imagePull": "Always"}}}, "imagePull"),
    "namespace": ("asya-crew", {"namespaces": ["Team_A"]}, "namespaces"),
    "checkpoint": ("asya-crew", {"checkpoint": {"url": "gs://bucket"}}, "checkpoint"),
    "no certificate": ("asya-operator", {"webhook": {"caBundle": "YQ=="}}, "webhook.secretName"),
    "admission policy": ("asya-crossplane", rabbitmq("admissionPolicy", {"actions": ["Refuse"]}), "actions"),
    "resync": ("asya-operator", {"resync": "60"}, "resync"),
    "no authority": ("asya-operator", {"webhook": {"secretName": "a"}}, "webhook.caBundle"),
    "failure policy": ("asya-operator", {"webhook": {"failurePolicy": "ignore"}}, "failurePolicy"),
    "umbrella, misspelt": ("asya", {"asya-crossplain": {}}, "asya-crossplain"),
    "umbrella, one crew for the composition only": (
        "asya",
        {"asya-crossplane": rabbitmq(f"{INPUT}.crewNamespace", "mesh")},
        "asya-operator.crew.namespace",
    ),
    "umbrella, one crew for the operator only": (
        "asya",
        {"asya-crossplane": RABBITMQ, "asya-operator": {"crew": {"namespace": "mesh"}}},
        "composition.input.crewNamespace",
    ),
    "umbrella, chart inside": ("asya", {"asya-operator": {"logLevel": "loud"}}, "logLevel"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_values_are_refused(helm: Client, chart_folder: Path, case: str) -> None:
    chart, values, named = WRONG[case]
    with pytest.raises(Error, match=re.escape(named)):
        await render(helm, chart_folder, chart, values)


async def test_one_crew_for_all_is_the_same_for_operator_and_composition(helm: Client, chart_folder: Path) -> None:
    shared = {"asya-crossplane": rabbitmq(f"{INPUT}.crewNamespace", "mesh")}
    alike = {**shared, "asya-operator": {"crew": {"namespace": "mesh"}}}
    crew_elsewhere = {**shared, "asya-operator": {"crew": {"enabled": False}}}
    for values in (alike, crew_elsewhere, {**shared, "components": {"operator": False}}):
        assert await render(helm, chart_folder, "asya", values)


@pytest.mark.parametrize("transport", ["rabbitmq", "sqs", "pubsub"])
async def test_each_transport_s_values_file_is_enough(helm: Client, chart_folder: Path, transport: str) -> None:
    given = yaml.safe_load((CHARTS / "asya" / f"values-{transport}.yaml").read_text())
    found = await render(helm, chart_folder, "asya", given)
    composition = next(item for item in found if item["kind"] == "Composition")
    assert composition["spec"]["pipeline"][0]["input"]["defaultTransport"] == transport
    assert [item for item in found if item["kind"] == "MutatingWebhookConfiguration"], "nothing had to be switched off"


def test_the_admission_policy_needs_a_kubernetes_that_has_it(chart_folder: Path) -> None:
    values = CHARTS / "asya-crossplane" / "ci" / "admission-policy-values.yaml"
    command = [needed("helm"), "template", chart_folder / "asya-crossplane", "--values", values, "--kube-version"]
    found = {
        version: subprocess.run([*command, version], capture_output=True, text=True, check=False, timeout=60)
        for version in ("1.29.14", "1.30.1-gke.100")
    }
    assert "admissionPolicy.enabled needs Kubernetes 1.30 or later" in found["1.29.14"].stderr
    assert found["1.30.1-gke.100"].returncode == 0, found["1.30.1-gke.100"].stderr


# What holds a credential, by the name of its key; a name, key or place of a Secret is none.
CREDENTIAL = re.compile(r"(?i)(password|passwd|secretkey|accesskey|token|credential|apikey)")


def leaves(chart: str) -> list[Value]:
    return [leaf for value in read_values(CHARTS / chart / "values.yaml") for leaf in value.leaves()]


@pytest.mark.parametrize("chart", sorted({scenario.chart for scenario in SCENARIOS}))
def test_no_value_takes_a_credential(chart: str) -> None:
    assert [leaf.path for leaf in leaves(chart) if CREDENTIAL.search(leaf.name)] == []


def test_an_undescribed_value_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("# -- Described.\na: 1\nb: 2\nc:\n  # -- Empty.\n  d: {}\n")
    with pytest.raises(ChartError, match=r"b has no description.*\n.*c\.d is empty and has no"):
        read_values(tmp_path / "values.yaml")
