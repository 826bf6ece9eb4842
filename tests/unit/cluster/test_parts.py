import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cluster import brokers, keda, topology_operator
from tests.cluster.namespaces import children, started_at
from tests.cluster.plan import ClusterError, Plan, plan
from tests.cluster.programs import Program
from tests.cluster.waiting import wait_until

_POLICIES = ("global", "basic", "detailed")


@pytest.fixture
def cluster(tmp_path: Path) -> Plan:
    made = plan("one", {"ASYA_CLUSTER_STATE": str(tmp_path)})
    made.state.mkdir()
    return made


def test_waiting_ends_with_the_last_words() -> None:
    with pytest.raises(ClusterError, match=r"it ready: not within 0.2 s\nit said no"):
        wait_until("it ready", lambda: False, 0.2, lambda: "it said no")


def test_waiting_ends_when_there_is_no_point() -> None:
    def ended() -> bool:
        raise ClusterError("it ended")

    with pytest.raises(ClusterError, match=r"^it ended$"):
        wait_until("it ready", ended, 60)


def test_a_process_is_known_by_its_start_and_not_after_its_end() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in children(os.getpid())
        born = started_at(child.pid)
        assert born is not None
        assert born == started_at(child.pid)
        child.communicate(b"\n")
    assert started_at(child.pid) is None


def test_rabbitmq_listens_on_the_node_and_counts_each_second(cluster: Plan) -> None:
    made = brokers.rabbitmq(cluster)
    settings = dict(line.split(" = ") for line in made.files[cluster.state / "rabbitmq" / "rabbitmq.conf"].splitlines())
    assert settings["listeners.tcp.1"] == "10.244.0.1:5672"
    assert settings["management.tcp.ip"] == "10.244.0.1"
    assert settings["collect_statistics_interval"] == "1000"
    # It starts with all three, or with none.
    samples = {name: settings[f"management.sample_retention_policies.{name}.minute"] for name in _POLICIES}
    assert samples["basic"] == "1", "queues' numbers"
    assert made.environment["RABBITMQ_CONFIG_FILE"] in map(str, made.files)


def test_the_brokers_password_stays_and_is_its_owners(cluster: Plan) -> None:
    first = brokers.password(cluster)
    assert len(first) > 12
    assert brokers.password(cluster) == first
    assert (cluster.state / "broker-password").stat().st_mode & 0o077 == 0


def test_the_broker_in_the_cluster_is_the_one_beside_the_node(cluster: Plan) -> None:
    made = {found["kind"]: found for found in topology_operator.broker(cluster, "here", "*")}
    assert made["EndpointSlice"]["endpoints"][0]["addresses"] == ["10.244.0.1"]
    assert made["EndpointSlice"]["metadata"]["labels"] == {"kubernetes.io/service-name": "rabbitmq"}
    assert {port["port"] for port in made["EndpointSlice"]["ports"]} == {5672, 15672}
    assert made["Secret"]["stringData"]["uri"] == "http://rabbitmq.here.svc:15672"
    assert made["Secret"]["stringData"]["password"] == brokers.password(cluster)


def test_the_topology_operator_runs_without_certificates(cluster: Plan) -> None:
    container = {"env": [], "volumeMounts": [1], "ports": [1], "image": "theirs"}
    deployment = {"kind": "Deployment", "spec": {"template": {"spec": {"volumes": [1], "containers": [container]}}}}
    others = [{"kind": kind} for kind in ("ValidatingWebhookConfiguration", "Service", "ClusterRole")]
    (made, role) = topology_operator._without_webhooks(cluster, iter([deployment, *others]))
    assert role["kind"] == "ClusterRole"
    pod = made["spec"]["template"]["spec"]
    own = {"image": "10.244.0.1:5000/asya-cluster/topology-operator:1"}
    assert pod == {"containers": [{**own, "env": [{"name": "ENABLE_WEBHOOKS", "value": "false"}]}]}


def test_kedas_images_are_what_its_chart_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keda, "program", lambda name: Program(Path(f"/tools/{name}-v2/{name}"), "v2.20.2"))
    made = {image.name: (list(image.entrypoint), tag) for image, tag in keda.images()}
    assert made == {
        "kedacore/keda": (["/keda"], "2.20.2"),
        "kedacore/keda-metrics-apiserver": (["/keda-adapter"], "2.20.2"),
        "kedacore/keda-admission-webhooks": (["/keda-admission-webhooks"], "2.20.2"),
    }
