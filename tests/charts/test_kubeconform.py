"""kubeconform, strict, takes every object that a chart renders, and refuses what it must."""

from pathlib import Path

import pytest
import yaml
from tests.charts.conform import refused
from tests.charts.conftest import Rendered
from tests.charts.scenarios import SCENARIOS, Scenario

# Served by cert-manager and by the Prometheus operator, whose definitions are not at hand.
WITHOUT_SCHEMA = {
    ("cert-manager.io", "v1", "Certificate"),
    ("cert-manager.io", "v1", "Issuer"),
    ("monitoring.coreos.com", "v1", "PrometheusRule"),
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_objects_fit_the_schemas(rendered: Rendered, scenario: Scenario, tmp_path: Path) -> None:
    manifests = rendered(scenario)
    crew = [
        actor
        for manifest in manifests
        if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] == "asya-crew"
        for actor in yaml.safe_load_all(manifest["data"]["actors.yaml"])
    ]
    assert refused([*manifests, *crew], tmp_path, without=WITHOUT_SCHEMA) == []


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
POD = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
BAD = {
    "unknown field": DEPLOYMENT | {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": POD, "replica": 1}},
    "wrong type": DEPLOYMENT | {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": POD, "replicas": "one"}},
    "missing field": DEPLOYMENT | {"spec": {"template": POD}},
    "unknown field of a custom resource": {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "a"},
        "spec": {"scaleTargetRef": {"name": "a"}, "triggers": [{"type": "cron", "metadata": {}}], "minReplicas": 1},
    },
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_refused(case: str, tmp_path: Path) -> None:
    assert len(refused([BAD[case]], tmp_path, without=set())) == 1
