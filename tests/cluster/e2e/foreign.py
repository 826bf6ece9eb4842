"""A cluster that is somebody's: reached by a kubeconfig, and left as it is but for namespaces of the tests.

Asya is installed on it, with RabbitMQ and its Messaging Topology Operator. What the tests break elsewhere is skipped
here, with the reason.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.cluster.e2e.install import VALUES
from tests.cluster.e2e.layers import layer
from tests.cluster.e2e.port_forward import PortForward
from tests.cluster.kubectl import Kubectl
from tests.cluster.plan import ClusterError
from tests.cluster.platform import PYTHONS
from tests.cluster.programs import program

REGISTRY_VARIABLE, S3_VARIABLE = "ASYA_E2E_REGISTRY", "ASYA_E2E_S3_URL"
BROKER_VARIABLE, SECRET_VARIABLE = "ASYA_E2E_BROKER_SERVICE", "ASYA_E2E_BROKER_SECRET"
PLATFORM = "asya-system"
AMQP, MANAGEMENT = 5672, 15672


class PlainKubectl(Kubectl):
    """kubectl of this machine, with a kubeconfig and the context that is current in it."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._program = shutil.which("kubectl") or str(program("kubectl").path)

    def command(self, words: Iterable[str]) -> list[str]:
        """See `Kubectl.command`."""
        return [self._program, f"--kubeconfig={self._kubeconfig}", *words]


class Foreign:
    """The cluster of a kubeconfig."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.kubeconfig = Path(environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
        if not self.kubeconfig.is_file():
            raise ClusterError(f"there is no kubeconfig at {self.kubeconfig}")
        self.kubectl: Kubectl = PlainKubectl(self.kubeconfig)
        self.registry = environ.get(REGISTRY_VARIABLE, "")
        self.s3_url = _given(environ, S3_VARIABLE, "an S3 that pods and this machine reach, such as a moto server's")
        _check_results_are_kept(self.kubectl)
        self.node = self.kubectl.get("nodes")["items"][0]["metadata"]["name"]
        namespace, _, service = environ.get(BROKER_VARIABLE, f"{PLATFORM}/rabbitmq").partition("/")
        self._forward = PortForward(self.kubectl, namespace, f"service/{service}", AMQP, MANAGEMENT)
        login = self._login(*environ.get(SECRET_VARIABLE, f"{PLATFORM}/rabbitmq-admin").split("/", 1))
        amqp, management = self._forward.ports
        self.amqp_url = f"amqp://{login}@127.0.0.1:{amqp}/"
        self.management_url = f"http://127.0.0.1:{management}"

    def command(self, words: Sequence[str]) -> list[str]:
        """See `Target.command`."""
        return list(words)

    def network(self) -> AbstractContextManager[None]:
        """See `Target.network`: the broker's ports are forwarded, anew where its pod was replaced."""
        self._forward.keep()
        return contextlib.nullcontext()

    def push(
        self, name: str, files: Mapping[str, Path], environment: Mapping[str, str], *, on: str | None = None
    ) -> None:
        """See `Target.push`."""
        if not self.registry:
            self._lacks(f"images of the tests go to a registry that the cluster pulls from: {REGISTRY_VARIABLE}")
        base = f"python:{PYTHONS[-1]}" if on is None else f"{self.registry}/{on}"
        self._make(f"{self.registry}/{name}", base, files, environment)

    def image(self, name: str) -> str:
        """See `Target.image`."""
        return f"{self.registry}/{name}"

    def kill(self, container: str) -> None:
        """See `Target.kill`."""
        self._lacks(f"container {container} is on a node that is not ours to enter")

    def restart_broker(self) -> None:
        """See `Target.restart_broker`."""
        self._lacks("the broker of this cluster is not ours to restart")

    def restart_apiserver(self) -> None:
        """See `Target.restart_apiserver`."""
        self._lacks("the API server of this cluster is not ours to kill")

    def logs(self) -> Mapping[str, str]:
        """See `Target.logs`: of the pods of actors and of the platform."""
        pods: list[Any] = self.kubectl.get("pods", "--all-namespaces", "--selector=asya.sh/actor")["items"]
        pods += self.kubectl.get("pods", f"--namespace={PLATFORM}")["items"]
        found = {}
        for pod in pods:
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            # A pod that is gone, or that has not begun yet, has said nothing.
            with contextlib.suppress(ClusterError):
                said = self.kubectl("logs", name, f"--namespace={namespace}", "--all-containers", "--prefix")
                found[f"pods/{namespace}_{name}"] = said
        return found

    def _make(self, name: str, base: str, files: Mapping[str, Path], environment: Mapping[str, str]) -> None:
        """Make an image with files, in its registry."""
        crane = str(program("crane").path)
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            archive.write(layer(files))
            archive.flush()
            _run([crane, "append", f"--base={base}", f"--new_layer={archive.name}", f"--new_tag={name}"])
        variables = [f"--env={key}={value}" for key, value in environment.items()]
        _run([crane, "mutate", name, "--workdir=/app", "--user=1000:1000", *variables, f"--tag={name}"])

    def _login(self, namespace: str, name: str) -> str:
        data = self.kubectl.get("secret", name, f"--namespace={namespace}")["data"]
        return ":".join(base64.b64decode(data[key]).decode() for key in ("username", "password"))

    def _lacks(self, reason: str) -> NoReturn:
        pytest.skip(f"{type(self).__name__.lower()} cluster: {reason}")


def _check_results_are_kept(kubectl: Kubectl) -> None:
    """See that x-sink keeps results where the tests look for them; somebody's release is not ours to change.

    Raises:
        ClusterError: It does not; with the command that makes it.
    """
    url = VALUES["asya-crew"]["checkpoint"]["url"]
    if url not in kubectl("get", "configmap", "asya-crew", f"--namespace={PLATFORM}", "--output=yaml"):
        change = "--reuse-values --values tests/cluster/e2e/values.yaml --wait"
        command = f"helm upgrade asya charts/asya --namespace {PLATFORM} {change}"
        raise ClusterError(f"x-sink does not keep results at {url}, where the tests look for them: {command}")


def _given(environ: Mapping[str, str], name: str, what: str) -> str:
    if not environ.get(name):
        raise ClusterError(f"{name} is not set: {what}")
    return environ[name]


def _run(words: Sequence[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600, env=dict(os.environ))
    if done.returncode:
        raise ClusterError(f"{' '.join(words[:2])}: {(done.stderr or done.stdout).strip()}")
