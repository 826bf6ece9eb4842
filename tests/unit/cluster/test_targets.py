"""Clusters under test that are not our own: what is asked for, and what is skipped on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.e2e import install, kind
from tests.cluster.e2e.foreign import S3_VARIABLE, Foreign
from tests.cluster.e2e.target import choose
from tests.cluster.plan import ClusterError

KUBECTL = """\
#!/bin/sh
echo "$@" >> "$0.log"
case "$*" in
  *"get nodes"*) echo '{"items": [{"metadata": {"name": "node-a"}}]}' ;;
  *"get configmap asya-crew"*) cat "$0.crew" ;;
  *"get secret rabbitmq-admin"*) echo '{"data": {"username": "YQ==", "password": "Yg=="}}' ;;
  *) exit 1 ;;
esac
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment with a kubeconfig, and a kubectl that knows what is asked for at first."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "config").write_text("{}")
    (tmp_path / "kubectl.crew").write_text("ASYA_CHECKPOINT_URL: s3://results")
    return {"CLUSTER": "kubeconfig", "KUBECONFIG": str(tmp_path / "config"), S3_VARIABLE: "http://s3.example:9000"}


def test_a_cluster_of_a_kubeconfig_is_reached_by_forwarded_ports(environ: dict[str, str], tmp_path: Path) -> None:
    target = choose(environ)
    assert (target.node, target.s3_url) == ("node-a", "http://s3.example:9000")
    assert target.amqp_url.startswith("amqp://a:b@127.0.0.1:")
    asked = (tmp_path / "kubectl.log").read_text().splitlines()
    assert all(line.startswith(f"--kubeconfig={tmp_path}/config ") for line in asked)
    with pytest.raises(ClusterError, match="kubectl port-forward"):
        target.network()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda target: target.kill("abc"), "not ours to enter"),
        (lambda target: target.restart_broker(), "not ours to restart"),
        (lambda target: target.restart_apiserver(), "not ours to kill"),
        (lambda target: target.push("e2e/worker:1", {}, {}), "ASYA_E2E_REGISTRY"),
    ],
)
def test_what_cannot_be_done_there_skips_the_test(environ: dict[str, str], call: Any, said: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=said):
        call(Foreign(environ))


def test_images_are_named_by_their_registry(environ: dict[str, str]) -> None:
    assert Foreign({**environ, "ASYA_E2E_REGISTRY": "r.example/e2e"}).image("a:1") == "r.example/e2e/a:1"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"CLUSTER": "minikube"}, "expected own, kind or kubeconfig"),
        ({"KUBECONFIG": "/nowhere"}, "there is no kubeconfig at /nowhere"),
        ({S3_VARIABLE: ""}, f"{S3_VARIABLE} is not set"),
        ({"CLUSTER": "kind"}, "`make kind-up` makes one"),
    ],
)
def test_what_is_missing_is_told(
    environ: dict[str, str], changed: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kind, "KUBECONFIG", tmp_path / "none")
    with pytest.raises(ClusterError, match=said):
        choose({**environ, **changed})


def test_a_release_that_keeps_no_results_is_told_how_to(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "kubectl.crew").write_text("")
    with pytest.raises(ClusterError, match=r"x-sink does not keep results at s3://results.*: helm upgrade asya"):
        choose(environ)


def test_the_values_for_helm_by_hand_are_those_of_the_tests() -> None:
    assert yaml.safe_load(Path(install.__file__).with_name("values.yaml").read_text()) == install.VALUES


def test_the_s3_for_kind_has_the_port_that_its_address_is_made_with() -> None:
    deployment, service = yaml.safe_load_all(kind.MOTO.read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert service["spec"]["type"] == "NodePort"
