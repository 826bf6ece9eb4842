"""`asya render --diff` against a real API server that serves the kinds of KEDA, RabbitMQ and Crossplane.

No Crossplane runs there; the test applies what is composed under its name, as it would.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.charts.binaries import needed
from tests.charts.sources import source
from tests.compose.calls import ROOT, actor
from tests.support.apiserver import api_server
from tests.support.definition import crd_of

from asya.api.xrd import definition
from asya.cli.render import command
from asya_composer.offline import KEY

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver")]
COMPOSITION = ROOT / "compositions" / "asyncactors.yaml"
MANAGER = "apiextensions.crossplane.io/composed/0123456789"
KINDS = {
    "crossplane": ("cluster/crds", ("compositions", "environmentconfigs")),
    "keda": ("config/crd/bases", ("scaledobjects", "triggerauthentications")),
    "topology-operator": (
        "config/crd/bases",
        ("bindings", "exchanges", "permissions", "policies", "queues", "topicpermissions", "users"),
    ),
}

Manifest = dict[str, Any]
Kubectl = Callable[..., str]


def definitions() -> Iterator[Manifest]:
    yield crd_of(definition())
    for module, (folder, plurals) in KINDS.items():
        for path in sorted((source(module) / folder).glob("*.yaml")):
            crd = yaml.safe_load(path.read_text())
            if crd["spec"]["names"]["plural"] in plurals:
                yield crd


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    """Kubectl for a private API server that serves all kinds; also what `asya render` finds on its PATH."""
    program = needed("kubectl")

    def run(*words: str, given: Sequence[Manifest] = ()) -> str:
        done = subprocess.run(
            [program, *words],
            input=yaml.safe_dump_all(given),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not done.returncode, done.stderr
        return done.stdout

    with api_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(server.kubeconfig))
        patch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        found = list(definitions())
        run("apply", "--server-side", "-f", "-", given=found)
        names = [f"crd/{each['metadata']['name']}" for each in found]
        run("wait", "--for=condition=Established", "--timeout=60s", *names)
        run("create", "namespace", "shop")
        run("apply", "-f", str(COMPOSITION))
        yield run


def diff(folder: Path, manifest: Manifest) -> Result:
    path = folder / "actor.yaml"
    path.write_text(yaml.safe_dump(manifest))
    return CliRunner().invoke(command, [str(path), "--diff"])


def plain_actor(**spec: Any) -> Manifest:
    manifest = actor(**spec)
    manifest["metadata"] = {"name": "resize", "namespace": "shop"}
    return manifest


def compose(kubectl: Kubectl, manifest: Manifest, path: Path) -> list[Manifest]:
    """Do what Crossplane does: apply what is composed under its own name, and note it in the actor."""
    path.write_text(yaml.safe_dump(manifest))
    rendered = CliRunner().invoke(command, [str(path), "--composition", str(COMPOSITION)])
    objects = list(yaml.safe_load_all(rendered.stdout))
    for each in objects:
        each["metadata"].setdefault("labels", {})["crossplane.io/composite"] = "resize"
    kubectl("apply", "--server-side", f"--field-manager={MANAGER}", "-f", "-", given=objects)
    # Bindings name the object of their queue as soon as that is there.
    queues = json.loads(kubectl("get", "queues.rabbitmq.com", "-n", "shop", "-o", "json"))["items"]
    identities = {each["spec"]["name"]: each["metadata"]["uid"] for each in queues}
    for each in objects:
        if each["kind"] == "Binding":
            named = {"asya.sh/queue": identities[each["spec"]["destination"]]}
            each["metadata"].setdefault("annotations", {}).update(named)
    kubectl("apply", "--server-side", f"--field-manager={MANAGER}", "-f", "-", given=objects)
    references = [
        {"apiVersion": each["apiVersion"], "kind": each["kind"], "name": each["metadata"]["name"]} for each in objects
    ]
    machinery = {"compositionRef": {"name": "asyncactors"}, "resourceRefs": references}
    kubectl("apply", "-f", "-", given=[{**manifest, "spec": {**manifest["spec"], "crossplane": machinery}}])
    return objects


def test_what_would_change_is_what_the_cluster_says(kubectl: Kubectl, tmp_path: Path) -> None:
    first = diff(tmp_path, plain_actor())
    assert first.exit_code == 3, first.output
    assert "+kind: Deployment\n" in first.output
    assert not [line for line in first.output.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert kubectl("get", "deployments,queues.rabbitmq.com", "-n", "shop", "-o", "name") == "", "nothing was made"

    env = [{"name": "MODE", "value": "fast"}, {"name": "SIZE", "value": "512"}]
    objects = compose(kubectl, plain_actor(env=env), tmp_path / "composed.yaml")
    same = diff(tmp_path, plain_actor(env=env))
    assert (same.exit_code, same.output) == (0, "")

    # The user's variable goes and the image is another; defaults that the server has filled in are no difference.
    changed = diff(tmp_path, plain_actor(env=env[:1], image="ghcr.io/example/resize:1.5.0"))
    assert changed.exit_code == 3, changed.output
    lines = changed.output.splitlines()
    removed = {line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")}
    added = {line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")}
    assert "- name: SIZE" in removed
    assert "image: ghcr.io/example/resize:1.5.0" in added
    assert "image: ghcr.io/example/resize:1.4.0" in removed
    assert [line for line in lines if line.startswith("---")] == ["--- cluster/rabbitmq-deployment"]
    assert "crossplane.io/composite: resize" not in removed, "what Crossplane adds stays"

    live = json.loads(kubectl("get", "deployment", "-n", "shop", "-o", "json"))["items"]
    composed = next(each for each in objects if each["kind"] == "Deployment")
    assert live[0]["metadata"]["annotations"][KEY] == composed["metadata"]["annotations"][KEY]
    images = [each["image"] for each in live[0]["spec"]["template"]["spec"]["containers"]]
    assert images == ["ghcr.io/example/resize:1.4.0"], "nothing was changed"


def test_a_cluster_without_the_namespace_says_so(kubectl: Kubectl, tmp_path: Path) -> None:
    manifest = plain_actor()
    manifest["metadata"]["namespace"] = "nowhere"
    result = diff(tmp_path, manifest)
    assert result.exit_code == 1
    assert 'namespaces "nowhere" not found' in result.stderr


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(needed("kubectl").parent), prepend=os.pathsep)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (tmp_path / "none").write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
        "clusters: [{name: a, cluster: {server: http://127.0.0.1:9}}]\nusers: [{name: a, user: {}}]\n"
    )
    result = diff(tmp_path, plain_actor())
    assert result.exit_code == 1
    assert "kubectl get" in result.stderr


def test_without_kubectl_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = diff(tmp_path, plain_actor())
    assert result.exit_code == 1
    assert "--diff needs kubectl on the PATH" in result.stderr
