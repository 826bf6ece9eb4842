import tomllib
from pathlib import Path

import pytest
from tests.cluster import control_plane, dns, node, registry
from tests.cluster.certificates import write_all
from tests.cluster.plan import Plan, plan
from tests.cluster.programs import Program


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    for module in (control_plane, node, registry):
        monkeypatch.setattr(module, "program", lambda name: Program(Path(f"/tools/{name}-v1/{name}"), "v1"))
    environment = {"ASYA_CLUSTER_STATE": str(tmp_path / "state"), "ASYA_CLUSTER_CACHE": str(tmp_path / "cache")}
    return plan("one", environment)


def test_containerd_takes_every_image_from_the_node(cluster: Plan) -> None:
    files = node.containerd(cluster).files
    config = tomllib.loads(files[cluster.state / "containerd" / "config.toml"])
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True
    assert cri["sandbox_image"].startswith(f"{cluster.registry}/")
    hosts = tomllib.loads(files[Path(cri["registry"]["config_path"]) / "_default" / "hosts.toml"])
    assert list(hosts["host"]) == [f"http://{cluster.registry}"] == [hosts["server"]]


def test_nothing_of_containerd_lies_outside_the_state(cluster: Plan) -> None:
    config = tomllib.loads(node.containerd_config(cluster))
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    for path in (config["root"], cri["cni"]["conf_dir"], cri["registry"]["config_path"]):
        assert Path(path).is_relative_to(cluster.state)


def test_the_kubelet_asks_the_runtime_and_the_names_that_there_are(cluster: Plan) -> None:
    config = node.kubelet_config(cluster)
    containerd = tomllib.loads(node.containerd_config(cluster))
    assert config["containerRuntimeEndpoint"] == f"unix://{containerd['grpc']['address']}"
    (service,) = [made for made in dns.manifests(cluster) if made["kind"] == "Service"]
    assert config["clusterDNS"] == [service["spec"]["clusterIP"]]
    assert config["cgroupRoot"] == "/asya-one"


def test_programs_read_no_file_that_is_not_made(cluster: Plan) -> None:
    write_all(cluster)
    parts = [
        *(control_plane.etcd(cluster), control_plane.apiserver(cluster)),
        *(control_plane.controller_manager(cluster), control_plane.scheduler(cluster)),
        *(node.containerd(cluster), node.kubelet(cluster), node.kube_proxy(cluster)),
    ]
    own = [Path(word.partition("=")[2]) for part in parts for word in part.command if f"={cluster.state}/" in word]
    made = {path for part in parts for path in part.files}
    assert len(own) > 10
    assert [path for path in own if not path.exists() and path not in made] == [cluster.state / "etcd"]


def test_the_bridge_is_the_gateway_of_pods(cluster: Plan) -> None:
    bridge = node.pod_network(cluster)["plugins"][0]  # type: ignore[index]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/24", "gateway": cluster.network.node}]]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("python:3.13-slim", "library/python:3.13-slim"),
        ("someone/image:1", "someone/image:1"),
        ("registry.example/a/b:2", "a/b:2"),
        ("localhost/x:1", "x:1"),
        ("localhost:5000/x:1", "x:1"),
    ],
)
def test_images_lie_where_containerd_looks(cluster: Plan, name: str, path: str) -> None:
    assert registry.place(cluster, name) == f"10.244.0.1:5000/{path}"
