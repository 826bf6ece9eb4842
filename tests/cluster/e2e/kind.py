"""A cluster of kind: somebody's, but its nodes are containers of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.e2e.foreign import PLATFORM, S3_VARIABLE, Foreign, PlainKubectl
from tests.cluster.kubectl import Kubectl
from tests.cluster.plan import ROOT, ClusterError
from tests.cluster.platform import PYTHONS
from tests.cluster.waiting import wait_until

KUBECONFIG = ROOT / "build" / "kind" / "kubeconfig"
MOTO = Path(__file__).with_name("moto.yaml")
_PYTHON = ROOT / ".venvs" / "kind" / "bin" / "python"
_NODE_SECONDS, _READY_SECONDS = 60.0, 120.0


class Kind(Foreign):
    """The cluster of `make kind-up`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        if not KUBECONFIG.is_file() or shutil.which("docker") is None:
            raise ClusterError("no cluster of kind is up; `make kind-up` makes one, with Docker")
        super().__init__({S3_VARIABLE: _moto(PlainKubectl(KUBECONFIG)), **environ, "KUBECONFIG": str(KUBECONFIG)})

    def push(
        self, name: str, files: Mapping[str, Path], environment: Mapping[str, str], *, on: str | None = None
    ) -> None:
        """See `Target.push`: built here, and loaded into the nodes under its name."""
        copied = [f"COPY {path} /app/{path}" for path in sorted(files)]
        variables = [f'ENV {key}="{value}"' for key, value in environment.items()]
        lines = [f"FROM {on or f'python:{PYTHONS[-1]}'}", *copied, *variables, "WORKDIR /app", "USER 1000:1000"]
        with tempfile.TemporaryDirectory() as folder:
            for path, file in files.items():
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
            Path(folder, "Dockerfile").write_text("\n".join(lines) + "\n")
            archive = Path(folder, "image.tar")
            _run(["docker", "build", "--quiet", f"--tag={name}", folder])
            _run(["docker", "save", f"--output={archive}", name])
            _run([str(_PYTHON), "-m", "tests.cluster.e2e.kind_cluster", "load", str(archive)])

    def image(self, name: str) -> str:
        """See `Target.image`."""
        return name

    def kill(self, container: str) -> None:
        """See `Target.kill`."""
        pid = self._in_node("crictl", "inspect", "--output=go-template", "--template={{.info.pid}}", container)
        self._in_node("kill", "-9", pid.strip())

    def restart_broker(self) -> None:
        """See `Target.restart_broker`: its pod is deleted, without grace."""
        where = f"--namespace={PLATFORM}"
        self.kubectl("delete", "pod", "--selector=app=rabbitmq", where, "--force", "--grace-period=0")
        self.kubectl("rollout", "status", "statefulset/rabbitmq", where, f"--timeout={_READY_SECONDS:g}s", seconds=150)

    def restart_apiserver(self) -> None:
        """See `Target.restart_apiserver`: the kubelet starts it again."""
        before = self._apiserver()
        self._in_node("crictl", "stop", "--timeout=0", before)

        def again() -> bool:
            try:
                return self._apiserver() not in {"", before} and "ok" in self.kubectl("get", "--raw=/readyz")
            except ClusterError:
                return False

        wait_until("another API server", again, _READY_SECONDS)

    def _apiserver(self) -> str:
        return self._in_node("crictl", "ps", "--name=kube-apiserver", "--quiet").strip()

    def _in_node(self, *words: str) -> str:
        return _run(["docker", "exec", self.node, *words], _NODE_SECONDS)


def _moto(kubectl: Kubectl) -> str:
    """Bring up the S3 of the tests, and return its address."""
    kubectl("apply", f"--filename={MOTO}")
    kubectl.wait("deployment/moto", "condition=Available", namespace=PLATFORM)
    addresses = kubectl.get("nodes")["items"][0]["status"]["addresses"]
    node = next(each["address"] for each in addresses if each["type"] == "InternalIP")
    port = kubectl.get("service", "moto", f"--namespace={PLATFORM}")["spec"]["ports"][0]["nodePort"]
    return f"http://{node}:{port}"


def _run(words: list[str], seconds: float = 600.0) -> str:
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds, env=dict(os.environ)
    )
    if done.returncode:
        raise ClusterError(f"{' '.join(words[:4])}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
