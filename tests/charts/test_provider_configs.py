"""The Job that makes a provider's configuration: it waits for the kind, and what it makes goes with the provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.charts.binaries import needed
from tests.charts.conftest import Rendered
from tests.charts.scenarios import CHARTS, Manifest, Scenario
from tests.support.apiserver import ApiServer

SCRIPT = CHARTS / "asya-crossplane" / "files" / "apply.py"
GROUP = "aws.m.upbound.io"
PATH = f"/apis/{GROUP}/v1beta1/clusterproviderconfigs/default"
OWNER = "/apis/pkg.crossplane.io/v1/providers/provider-aws-iam"
KIND: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"clusterproviderconfigs.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Cluster",
        "names": {"plural": "clusterproviderconfigs", "kind": "ClusterProviderConfig"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
PROVIDER: Manifest = {
    "apiVersion": "pkg.crossplane.io/v1",
    "kind": "Provider",
    "metadata": {"name": "provider-aws-iam"},
    "spec": {"package": "example.org/provider-aws-iam:v1.0.0"},
}


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [
        each for each in manifests if each["kind"] == kind and each["metadata"]["name"].count("provider-config")
    ]
    return found


@pytest.mark.parametrize(("name", "clouds"), [("sqs", ["aws"]), ("pubsub", ["gcp"]), ("emulators", ["aws", "gcp"])])
def test_each_configuration_is_applied_as_long_as_its_provider_is_there(
    rendered: Rendered, name: str, clouds: list[str]
) -> None:
    manifests = rendered(Scenario("asya-crossplane", name))
    files = of_kind(manifests, "ConfigMap")["data"]
    assert sorted(files) == sorted(["apply.py", "conditions.py", *(f"{cloud}.json" for cloud in clouds)])
    (container,) = of_kind(manifests, "Job")["spec"]["template"]["spec"]["containers"]
    assert container["command"][3:] == [f"/apply/{cloud}.json" for cloud in clouds]
    for cloud in clouds:
        wanted = json.loads(files[f"{cloud}.json"])
        assert wanted["path"] == f"/apis/{cloud}.m.upbound.io/v1beta1/clusterproviderconfigs/default"
        assert wanted["object"]["kind"] == "ClusterProviderConfig"
        provider = wanted["owner"].rpartition("/")[2]
        assert [each for each in manifests if each["kind"] == "Provider" and each["metadata"]["name"] == provider]


def test_there_is_no_job_without_a_configuration(rendered: Rendered) -> None:
    manifests = rendered(Scenario("asya-crossplane", "rabbitmq"))
    assert not [each for each in manifests if "provider-config" in each["metadata"]["name"]]


@pytest.mark.apiserver
@pytest.mark.xdist_group("apiserver")
def test_it_waits_until_the_kind_is_served(server: ApiServer, rendered: Rendered, tmp_path: Path) -> None:
    files = of_kind(rendered(Scenario("asya-crossplane", "sqs")), "ConfigMap")["data"]
    given = tmp_path / "aws.json"
    given.write_text(files["aws.json"])
    (tmp_path / "token").write_text(server.token)
    (tmp_path / "ca.crt").write_bytes(server.ca_file.read_bytes())
    environment = os.environ | {"KUBERNETES_URL": server.url, "SERVICE_ACCOUNT_DIR": str(tmp_path)}
    command = [sys.executable, str(SCRIPT), "60", str(given)]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    bound = threading.Timer(90, running.kill)
    bound.start()
    try:
        assert running.stderr is not None
        first = running.stderr.readline()
        assert first == f"{PATH} is not applied yet: {OWNER}: HTTP Error 404: Not Found\n"
        create(server, PROVIDER)
        second = running.stderr.readline()
        assert second.startswith(f"{PATH} is not applied yet: HTTP Error 404: Not Found")
        create(server, KIND)
        out, _ = running.communicate(timeout=90)
    finally:
        bound.cancel()
        running.kill()
        running.wait()
    assert (running.returncode, out) == (0, f"{PATH}: applied\n")
    made: dict[str, Any] = json.loads(server.get(PATH))
    assert made["spec"] == json.loads(files["aws.json"])["object"]["spec"]
    owner = json.loads(server.get(OWNER))["metadata"]
    assert made["metadata"]["ownerReferences"] == [
        {"apiVersion": "pkg.crossplane.io/v1", "kind": "Provider", "name": owner["name"], "uid": owner["uid"]}
    ]


def test_it_gives_up_when_the_time_is_over(tmp_path: Path) -> None:
    given = tmp_path / "aws.json"
    given.write_text(json.dumps({"path": PATH, "owner": None, "object": {"metadata": {"name": "default"}}}))
    (tmp_path / "token").write_text("x")
    environment = os.environ | {"KUBERNETES_URL": "http://127.0.0.1:1", "SERVICE_ACCOUNT_DIR": str(tmp_path)}
    command = [sys.executable, str(SCRIPT), "0", str(given)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{PATH} is not applied yet: ")


def create(server: ApiServer, manifest: Manifest) -> None:
    command = [needed("kubectl"), "--kubeconfig", server.kubeconfig, "create", "--filename", "-"]
    subprocess.run(command, input=yaml.safe_dump(manifest), text=True, check=True, capture_output=True, timeout=60)
