"""The umbrella in a real API server: one install with KEDA and Crossplane's kinds, an upgrade, an uninstall."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import charts_deps
import pytest
from pyhelm3 import Client
from tests.charts.binaries import needed
from tests.charts.scenarios import CHARTS, NAMESPACE, RELEASE, Scenario
from tests.charts.sources import source
from tests.support.apiserver import ApiServer, ServerUnavailableError

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver")]
XRDS = "/apis/apiextensions.crossplane.io/v2/compositeresourcedefinitions"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """An API server that serves Crossplane's kinds, as one does where Crossplane runs."""
    kubectl, crds = needed("kubectl"), source("crossplane") / "cluster" / "crds"
    try:
        started = ApiServer().__enter__()
    except ServerUnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    try:
        command = [kubectl, "--kubeconfig", started.kubeconfig]
        subprocess.run([*command, "create", "--filename", crds], check=True, capture_output=True)
        subprocess.run(
            [*command, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"],
            check=True,
            capture_output=True,
        )
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def umbrella(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("install") / "charts"
    shutil.copytree(CHARTS, folder, ignore=shutil.ignore_patterns("*.tgz"))
    charts_deps.package(needed("helm"), needed("kubectl"), folder / "asya", source("keda"))
    return folder / "asya"


def read(server: ApiServer, path: str) -> Any:
    return json.loads(server.get(path))


@pytest.mark.parametrize("program", ["helm", "helm3"])
async def test_one_install_an_upgrade_and_an_uninstall(server: ApiServer, umbrella: Path, program: str) -> None:
    client = Client(executable=str(needed(program)), kubeconfig=server.kubeconfig)
    chart = await client.get_chart(umbrella)
    # Kinds of the Prometheus operator and of cert-manager are not served here.
    values = Scenario("asya", "sqs").values
    installed = await client.install_or_upgrade_release(RELEASE, chart, values, namespace=NAMESPACE)
    assert installed.revision == 1
    crew = read(server, f"/api/v1/namespaces/{NAMESPACE}/configmaps/asya-crew")
    assert "name: x-sink" in crew["data"]["actors.yaml"]
    assert read(server, f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/keda-operator")["spec"]["replicas"] == 1
    assert [item["metadata"]["name"] for item in read(server, XRDS)["items"]] == ["asyncactors.asya.sh"]

    changed = values | {"asya-operator": {"webhook": {"enabled": False}, "logLevel": "debug"}}
    upgraded = await client.install_or_upgrade_release(RELEASE, chart, changed, namespace=NAMESPACE)
    assert upgraded.revision == 2
    operator = read(server, f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/asya-operator")
    [container] = operator["spec"]["template"]["spec"]["containers"]
    assert {"name": "ASYA_LOG_LEVEL", "value": "debug"} in container["env"]

    await client.uninstall_release(RELEASE, namespace=NAMESPACE)
    assert read(server, "/apis/pkg.crossplane.io/v1/functions")["items"] == []
    assert [item["metadata"]["name"] for item in read(server, XRDS)["items"]] == ["asyncactors.asya.sh"], "actors stay"
