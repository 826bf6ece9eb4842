"""What the charts carry of other rooms is in step with them; what Crossplane may do follows from the list of kinds."""

from pathlib import Path
from typing import Any

import charts
import charts_sync
import pytest
import yaml
from charts_values import ChartError
from tests.charts.conftest import Rendered
from tests.charts.scenarios import CHARTS, ROOT, SCENARIOS, Manifest, Scenario

from asya_composer import flavors
from asya_composer.kinds import COMPOSED
from asya_composer.settings import Settings

VALUES = CHARTS / "asya-crossplane" / "values.yaml"


def scenario(name: str) -> Scenario:
    return next(found for found in SCENARIOS if str(found) == name)


def only(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, (kind, name)
    return found[0]


def test_generated_files_are_in_step() -> None:
    wrong = [path for path, text in charts.generated().items() if not path.is_file() or path.read_text() != text]
    assert wrong == [], "run `make docs`"


def test_drift_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    changed = {path: f"{text}\n" for path, text in charts.generated().items()}
    monkeypatch.setattr(charts, "generated", lambda: changed)
    monkeypatch.setattr("sys.argv", ["charts.py", "--check"])
    assert charts.main() == 1
    assert "charts/asya-crossplane/values.schema.json is out of step" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "file"), [("rabbitmq", "asyncactors.yaml"), ("legacy-claim", "asyncactors-legacy.yaml")]
)
def test_the_xrd_is_the_one_of_the_api(rendered: Rendered, name: str, file: str) -> None:
    found = [
        item for item in rendered(scenario(f"asya-crossplane/{name}")) if item["kind"] == "CompositeResourceDefinition"
    ]
    wanted = yaml.safe_load((ROOT / "xrds" / file).read_text())
    wanted["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    assert found == [wanted]


def test_the_composition_composes_what_the_xrd_defines(rendered: Rendered) -> None:
    for name in ("rabbitmq", "legacy-claim"):
        found = rendered(scenario(f"asya-crossplane/{name}"))
        xrd = next(item for item in found if item["kind"] == "CompositeResourceDefinition")["spec"]
        composed = only(found, "Composition", "asyncactors")["spec"]["compositeTypeRef"]
        version = f"{xrd['group']}/{xrd['versions'][0]['name']}"
        assert composed == {"apiVersion": version, "kind": xrd["names"]["kind"]}


def allowed(role: Manifest) -> set[tuple[str, str]]:
    writing = {"create", "update", "patch", "delete", "get", "list", "watch"}
    return {
        (group, resource)
        for rule in role["rules"]
        if set(rule["verbs"]) == writing
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_the_cluster_role_lets_compose_exactly_the_kinds(rendered: Rendered) -> None:
    role = only(rendered(scenario("asya-crossplane/rabbitmq")), "ClusterRole", "asya-compose")
    assert role["metadata"]["labels"]["rbac.crossplane.io/aggregate-to-crossplane"] == "true"
    wanted = {(kind.group, kind.plural) for kind in COMPOSED if kind.server not in {"aws", "gcp"}}
    assert allowed(role) == wanted


def test_exactly_the_cloud_kinds_are_activated(rendered: Rendered) -> None:
    policy = only(rendered(scenario("asya-crossplane/sqs")), "ManagedResourceActivationPolicy", "asya")
    wanted = [f"{kind.plural}.{kind.group}" for kind in COMPOSED if kind.server in {"aws", "gcp"}]
    assert policy["spec"]["activate"] == sorted(wanted)


@pytest.mark.parametrize(("name", "cloud"), [("asya-crossplane/sqs", "aws"), ("asya-crossplane/pubsub", "gcp")])
def test_exactly_the_needed_providers_are_installed(rendered: Rendered, name: str, cloud: str) -> None:
    found = {item["metadata"]["name"] for item in rendered(scenario(name)) if item["kind"] == "Provider"}
    assert found == {kind.provider for kind in COMPOSED if kind.server == cloud}


def test_the_composition_is_the_one_of_the_repository(rendered: Rendered) -> None:
    """With the same settings it is the file that is rendered and tested offline, besides Helm's own labels."""
    found = only(rendered(scenario("asya-crossplane/rabbitmq")), "Composition", "asyncactors")
    wanted = yaml.safe_load((ROOT / "compositions" / "asyncactors.yaml").read_text())
    assert found["spec"] == wanted["spec"]
    assert wanted["metadata"]["labels"].items() <= found["metadata"]["labels"].items()


@pytest.mark.parametrize(("name", "transport"), [("rabbitmq", "rabbitmq"), ("sqs", "sqs"), ("pubsub", "pubsub")])
def test_the_input_is_read_by_the_function(rendered: Rendered, name: str, transport: str) -> None:
    found = only(rendered(scenario(f"asya-crossplane/{name}")), "Composition", "asyncactors")
    settings = Settings.model_validate(found["spec"]["pipeline"][0]["input"])
    assert settings.default_transport == transport
    assert getattr(settings.transports, transport) is not None


def test_the_chart_s_flavors_are_read_by_the_function(rendered: Rendered) -> None:
    found = only(rendered(scenario("asya-crossplane/admission-policy")), "EnvironmentConfig", "gpu")
    assert found["metadata"]["labels"]["asya.sh/flavor"] == "gpu"
    assert flavors.read("gpu", found).spec == {"nodeSelector": {"gpu": "true"}}


def test_dashboards_and_alerts_are_the_generated_ones(rendered: Rendered) -> None:
    found = rendered(scenario("asya/rabbitmq"))
    files = CHARTS / "asya" / "files"
    for path in sorted((files / "dashboards").glob("*.json")):
        data = only(found, "ConfigMap", f"{path.stem}-dashboard")["data"]
        assert data == {path.name: path.read_text().strip() + "\n"} or data == {path.name: path.read_text().strip()}
    assert only(found, "PrometheusRule", "asya")["spec"] == yaml.safe_load((files / "alerts.yaml").read_text())


def test_versions_are_one() -> None:
    about: dict[str, Any] = {
        path.parent.name: yaml.safe_load(path.read_text()) for path in sorted(CHARTS.glob("*/Chart.yaml"))
    }
    versions = {chart["version"] for chart in about.values()} | {chart["appVersion"] for chart in about.values()}
    versions |= {item["version"] for item in about["asya"]["dependencies"] if item["name"] != "keda"}
    sidecar = yaml.safe_load((CHARTS / "asya-crossplane" / "values.yaml").read_text())["composition"]["input"][
        "sidecar"
    ]
    assert versions | {sidecar["tag"]} == {about["asya"]["version"]}


@pytest.mark.parametrize("metadata", ["metadata:\n  labels: {}\n  name: a\n", "metadata: {name: a}\n", ""])
def test_an_xrd_that_cannot_be_kept_is_an_error(metadata: str) -> None:
    with pytest.raises(ChartError, match="metadata"):
        charts_sync.kept(f"kind: CompositeResourceDefinition\n{metadata}spec: {{}}\n")


def test_services_select_the_deployment_alone(rendered: Rendered) -> None:
    """A test pod with the same labels would answer for the operator."""
    found = rendered(scenario("asya-operator/cert-manager"))
    selector = only(found, "Service", "asya-operator")["spec"]["selector"].items()
    deployment = only(found, "Deployment", "asya-operator")["spec"]
    assert selector <= deployment["template"]["metadata"]["labels"].items()
    assert deployment["selector"]["matchLabels"].items() == selector
    assert not selector <= only(found, "Pod", "asya-operator-test")["metadata"]["labels"].items()


def test_files_of_charts_hold_no_machine_path() -> None:
    assert [path for path in Path(CHARTS).rglob("*.yaml") if str(ROOT) in path.read_text()] == []
