"""The umbrella in a real API server: one install with KEDA and Crossplane's kinds, an upgrade, an uninstall."""

from __future__ import annotations

import json
import shutil
import ssl
from base64 import b64decode
from pathlib import Path
from typing import Any

import charts_deps
import pytest
import yaml
from pyhelm3 import Client
from tests.charts.binaries import needed
from tests.charts.scenarios import CHARTS, NAMESPACE, RELEASE, Scenario
from tests.charts.sources import source
from tests.support.apiserver import ApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver-charts")]
SECRET = "asya-operator-webhook-self-signed"
FIVE_YEARS = "157680000"
XRDS = "/apis/apiextensions.crossplane.io/v2/compositeresourcedefinitions"


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

    changed = values | {"asya-operator": {"logLevel": "debug"}}
    upgraded = await client.install_or_upgrade_release(RELEASE, chart, changed, namespace=NAMESPACE)
    assert upgraded.revision == 2
    operator = read(server, f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/asya-operator")
    [container] = operator["spec"]["template"]["spec"]["containers"]
    assert {"name": "ASYA_LOG_LEVEL", "value": "debug"} in container["env"]

    await client.uninstall_release(RELEASE, namespace=NAMESPACE)
    assert read(server, "/apis/pkg.crossplane.io/v1/functions")["items"] == []
    assert [item["metadata"]["name"] for item in read(server, XRDS)["items"]] == ["asyncactors.asya.sh"], "actors stay"


@pytest.mark.parametrize("transport", ["rabbitmq", "sqs", "pubsub"])
async def test_each_values_file_installs_with_nothing_more(server: ApiServer, umbrella: Path, transport: str) -> None:
    client = Client(executable=str(needed("helm")), kubeconfig=server.kubeconfig)
    chart = await client.get_chart(umbrella)
    values = yaml.safe_load((CHARTS / "asya" / f"values-{transport}.yaml").read_text())
    await client.install_or_upgrade_release(RELEASE, chart, values, namespace=NAMESPACE)
    made = certificate(server)
    assert_served(made, umbrella.parent, f"asya-operator.{NAMESPACE}.svc")
    await client.install_or_upgrade_release(RELEASE, chart, values, namespace=NAMESPACE)
    assert certificate(server) == made, "an upgrade keeps the certificate"
    await client.uninstall_release(RELEASE, namespace=NAMESPACE)


async def test_an_old_certificate_is_made_anew(server: ApiServer, chart_folder: Path, tmp_path: Path) -> None:
    client = Client(executable=str(needed("helm")), kubeconfig=server.kubeconfig)
    shutil.copytree(chart_folder / "asya-operator", tmp_path / "asya-operator")
    template = tmp_path / "asya-operator" / "templates" / "webhook.yaml"
    text = template.read_text()
    assert FIVE_YEARS in text
    template.write_text(text.replace(FIVE_YEARS, "-1"))
    aged = await client.get_chart(tmp_path / "asya-operator")
    await client.install_or_upgrade_release(RELEASE, aged, {}, namespace=NAMESPACE)
    made = certificate(server)
    chart = await client.get_chart(chart_folder / "asya-operator")
    await client.install_or_upgrade_release(RELEASE, chart, {}, namespace=NAMESPACE)
    renewed = certificate(server)
    assert renewed["tls.crt"] != made["tls.crt"]
    assert_served(renewed, tmp_path, f"asya-operator.{NAMESPACE}.svc")
    await client.uninstall_release(RELEASE, namespace=NAMESPACE)


def certificate(server: ApiServer) -> dict[str, bytes]:
    """Return the Secret's files, and that the API server trusts what signed them."""
    secret = read(server, f"/api/v1/namespaces/{NAMESPACE}/secrets/{SECRET}")
    webhooks = read(server, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/asya-operator")
    assert [each["clientConfig"]["caBundle"] for each in webhooks["webhooks"]] == [secret["data"]["ca.crt"]]
    return {name: b64decode(text) for name, text in secret["data"].items()}


def assert_served(files: dict[str, bytes], folder: Path, host: str) -> None:
    """Shake hands over TLS as operator and API server do."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    asking = ssl.create_default_context(cadata=files["ca.crt"].decode())
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(there, back, server_side=True)
    client = asking.wrap_bio(back, there, server_hostname=host)
    done: set[ssl.SSLObject] = set()
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        done.add(side)
    assert done == {client, server}
