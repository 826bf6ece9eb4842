"""The node itself, brought up and taken down: pods, names, services, brokers, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster import cgroups, platform
from tests.cluster.building import Builds
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import scheduler
from tests.cluster.kubectl import Kubectl
from tests.cluster.oci import Image
from tests.cluster.plan import ROOT, ClusterError
from tests.cluster.programs import program
from tests.cluster.registry import push
from tests.cluster.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600), pytest.mark.xdist_group("cluster")]
IMAGE = f"python:{platform.PYTHONS[0]}"
SERVER = [
    "python3",
    "-c",
    "import http.server as h; h.ThreadingHTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()",
]
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def left_behind(cluster: Cluster) -> list[str]:
    """Everything of a cluster that the machine still has."""
    plan = cluster.plan
    found = [str(path) for path in (plan.state, plan.netns, *cgroups.folders(plan)) if path.exists()]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [line for line in mounts if str(plan.state) in line or plan.scope in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{plan.state}/" in words or f"{plan.netns} " in words:
            found.append(f"{process.name} {words}")
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster(f"test-{os.getpid()}")
    made.up()
    try:
        yield made
    finally:
        made.down()
        assert left_behind(made) == []


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster) -> Kubectl:
    builds = Builds(cluster.plan)
    push(cluster.namespaces, builds.layout(builds.base()), IMAGE)
    return cluster.kubectl()


@pytest.fixture(scope="module")
def web(kubectl: Kubectl) -> str:
    """A pod with a native sidecar, as restricted as can be, behind a service."""
    container = {"image": IMAGE, "command": SERVER, "workingDir": "/etc", "securityContext": RESTRICTED}
    sidecar = {**container, "name": "side", "restartPolicy": "Always", "command": ["sleep", "infinity"]}
    probe = {"httpGet": {"path": "/hostname", "port": 8080}, "periodSeconds": 1}
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "securityContext": security,
            "terminationGracePeriodSeconds": 1,
            "initContainers": [sidecar],
            "containers": [{**container, "name": "main", "readinessProbe": probe}],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict"}}
    namespace["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": "restricted"}  # type: ignore[index]
    kubectl.apply(namespace)
    wait_until("service account", lambda: "default" in kubectl("get", "serviceaccounts", "-n", "strict"), 30)
    kubectl("apply", "-n", "strict", "-f", "-", data=yaml.safe_dump_all([pod, service]))
    kubectl.wait("pod/web", "condition=Ready", namespace="strict", seconds=120)
    return "web.strict.svc"


def inside(kubectl: Kubectl, code: str, container: str = "main") -> str:
    return kubectl("exec", "-n", "strict", "web", "-c", container, "--", "python3", "-c", code)


def test_a_pod_with_a_native_sidecar_runs_restricted(kubectl: Kubectl, web: str) -> None:
    status = kubectl.get("pod", "web", "-n", "strict")["status"]
    both = [*status["initContainerStatuses"], *status["containerStatuses"]]
    assert {found["name"]: found["ready"] for found in both} == {"side": True, "main": True}


def test_a_service_is_reached_by_its_name(kubectl: Kubectl, web: str) -> None:
    fetch = f"import urllib.request as u; print(u.urlopen('http://{web}/hostname', timeout=10).status)"
    assert inside(kubectl, fetch, "side").strip() == "200"


def test_the_logs_of_pods_are_told(kubectl: Kubectl, web: str) -> None:
    assert "GET /hostname" in kubectl("logs", "-n", "strict", "web", "-c", "main")


def test_pods_reach_the_brokers_beside_the_node(cluster: Cluster, kubectl: Kubectl, web: str) -> None:
    net = cluster.plan.network
    for port in (net.amqp, net.rabbitmq_management, net.moto):
        inside(kubectl, f"import socket; socket.create_connection(('{net.node}', {port}), 5).close()")


def test_nothing_leaves_the_cluster(cluster: Cluster, kubectl: Kubectl, web: str) -> None:
    """Not to the machine, whose own server is not seen, nor to an address of the world (documentation's, RFC 5737)."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        for host in ("192.0.2.1", cluster.plan.network.node):
            refused = f"import socket; print(socket.socket().connect_ex(('{host}', {port})))"
            code = f"import socket; socket.setdefaulttimeout(2); {refused}"
            assert inside(kubectl, code).strip() != "0"
    with cluster.namespaces.network(), pytest.raises(OSError, match=r"[Uu]nreachable"):
        socket.create_connection(("192.0.2.1", 80), 2)


def test_a_name_that_is_pushed_anew_is_pulled_anew(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    for text in ("first", "second"):
        said = tmp_path / text
        said.write_text(text)
        base = {"usr/local/bin/pause": program("pause").path, "said": said}
        cluster.push(Image("test/said", base, ["/usr/local/bin/pause"], f"{os.getpid()}-{text}"))
        container = {"name": "main", "image": "registry.invalid/test/said:1", "securityContext": RESTRICTED}
        kubectl.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": text}, "spec": {"containers": [container]}}
        )
        kubectl.wait(f"pod/{text}", "condition=Ready")
    images = {
        text: kubectl.get("pod", text)["status"]["containerStatuses"][0]["imageID"] for text in ("first", "second")
    }
    assert images["first"] != images["second"]


def test_one_part_ends_and_comes_back_without_the_others(cluster: Cluster, kubectl: Kubectl) -> None:
    etcd = cluster.processes.pid("etcd")
    cluster.processes.stop("kube-scheduler", signal.SIGKILL)
    assert not cluster.processes.running("kube-scheduler")
    cluster.processes.start(scheduler(cluster.plan))
    assert cluster.processes.running("kube-scheduler")
    assert cluster.processes.pid("etcd") == etcd


def test_another_process_sees_the_same_cluster(cluster: Cluster) -> None:
    words = [sys.executable, "-m", "tests.cluster", f"--name={cluster.plan.name}", "status"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "ENDED" not in done.stdout
    assert "node1" in done.stdout


def test_a_second_one_of_the_same_name_is_refused_and_of_another_runs_beside(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="there already"):
        Cluster(cluster.plan.name).up()
    other = Cluster(f"{cluster.plan.name}-b")
    other.up()
    try:
        assert "node1" in other.kubectl()("get", "nodes")
        assert cluster.running
    finally:
        other.down()
    assert left_behind(other) == []
    assert "node1" in cluster.kubectl()("get", "nodes"), "the first one does not notice"
