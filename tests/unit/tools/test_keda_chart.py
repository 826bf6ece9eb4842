import json
import re
from typing import Any

import jsonschema
import pytest
import yaml
from keda_chart import KedaChartError, chart


def deployment(container: str, image: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/version": "main"}
    pod = {"containers": [{"name": container, "image": image, "imagePullPolicy": "IfNotPresent"}]}
    metadata = {"name": container, "namespace": "keda", "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": {"spec": pod}}}


OPERATOR = deployment("keda-operator", "registry.test/kedacore/keda:main")
ADAPTER = deployment("keda-metrics-apiserver", "registry.test/kedacore/keda-metrics-apiserver:main")
WEBHOOKS = deployment("keda-admission-webhooks", "registry.test/kedacore/keda-admission-webhooks:main")
DEPLOYMENTS = [OPERATOR, ADAPTER, WEBHOOKS]


def of(kind: str, name: str, **more: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


def rendered(*more: dict[str, Any]) -> dict[str, str]:
    return chart([*DEPLOYMENTS, *more], "keda", "2.20.2")


def test_the_chart_has_the_name_and_version_asked_for() -> None:
    metadata = yaml.safe_load(rendered()["Chart.yaml"])
    assert (metadata["name"], metadata["version"], metadata["appVersion"]) == ("keda", "2.20.2", "2.20.2")


def test_images_are_values_that_start_as_the_manifests_have_them() -> None:
    files = rendered()
    image = yaml.safe_load(files["values.yaml"])["image"]
    assert image["keda"] == {"registry": "registry.test", "repository": "kedacore/keda", "tag": ""}
    container = yaml.safe_load(files["templates/deployment-keda-operator.yaml"])["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert re.fullmatch(r"\{\{ with \.Values\.image\.keda \}\}.*default \$\.Chart\.AppVersion.*", container["image"])
    assert container["imagePullPolicy"] == "{{ .Values.image.pullPolicy }}"


def test_the_namespace_is_the_release_s_and_no_manifest_makes_it() -> None:
    subject = {"kind": "ServiceAccount", "name": "keda-operator", "namespace": "keda"}
    system = {"kind": "ServiceAccount", "name": "other", "namespace": "kube-system"}
    files = rendered(of("Namespace", "keda"), of("ClusterRoleBinding", "a:b", subjects=[subject, system]))
    binding = yaml.safe_load(files["templates/clusterrolebinding-a-b.yaml"])
    assert [entry["namespace"] for entry in binding["subjects"]] == ["{{ .Release.Namespace }}", "kube-system"]
    assert not any("kind: Namespace\n" in text for text in files.values())


def test_what_looks_like_a_template_in_a_description_stays_text() -> None:
    definition = of("CustomResourceDefinition", "x.keda.sh", spec={"description": "as {{ .Name }}"})
    text = rendered(definition)["templates/crds/x.keda.sh.yaml"]
    assert 'description: as {{ "{{" }} .Name }}' in text
    assert text.startswith("{{- if .Values.crds.install }}\n")
    assert text.endswith("\n{{- end }}\n")


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({}, ""),
        ({"enabled": True, "global": {"any": 1}}, ""),
        ({"podIdentity": {"aws": {"irsa": {"enabled": True, "roleArn": "arn"}}}}, ""),
        ({"operator": {"replicaCount": 2}}, "operator"),
        ({"podIdentity": {"gcp": {"enabled": "yes"}}}, "'yes' is not of type 'boolean'"),
    ],
)
def test_values_that_the_chart_does_not_have_are_refused(values: dict[str, Any], wrong: str) -> None:
    schema = json.loads(rendered()["values.schema.json"])
    errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(values)]
    assert bool(errors) == bool(wrong)
    assert all(wrong in error for error in errors)


def test_what_looks_like_a_template_in_any_other_manifest_stays_text() -> None:
    text = rendered(of("Service", "x", spec={"externalName": "as {{ .Name }}"}))["templates/service-x.yaml"]
    assert 'externalName: as {{ "{{" }} .Name }}' in text


def test_the_service_account_can_carry_an_identity() -> None:
    text = rendered(of("ServiceAccount", "keda-operator"))["templates/serviceaccount-keda-operator.yaml"]
    assert "iam.gke.io/gcp-service-account: {{ .gcpIAMServiceAccount | quote }}" in text
    assert text.count("{{- if") + text.count("{{- with") == text.count("{{- end }}")


def test_an_unknown_container_is_an_error() -> None:
    with pytest.raises(KedaChartError, match="the container proxy is unknown"):
        rendered(deployment("proxy", "registry.test/proxy:1"))


def test_a_missing_container_is_an_error() -> None:
    with pytest.raises(KedaChartError, match="no container uses the image of webhooks"):
        chart([OPERATOR, ADAPTER], "keda", "2.20.2")
