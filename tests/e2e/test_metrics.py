"""`asya up --metrics` with real processes, scraped by a real Prometheus."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import dashboards
import httpx
import pytest
import yaml
from monitoring.alerts import ALERTS
from prometheus_client.parser import text_string_to_metric_families
from tests.support.prometheus import promtool, running
from tests.support.up import Up, actor, run, up

pytestmark = pytest.mark.slow
SCALING = {"scaling": {"pollingInterval": 1, "cooldownPeriod": 8, "queueLength": 20, "maxReplicaCount": 2}}
FIRST = """
def handle(payload):
    if payload % 10 == 0:
        raise ValueError("every tenth")
    return payload
"""
SECOND = "import time\ndef handle(payload):\n    time.sleep(0.005)\n    return payload\n"
ONCE = {"resiliency": {"policies": {"default": {"maxAttempts": 2, "initialDelay": "100ms"}}}}
# What a mesh in which nothing is wrong, and everything is soon handled, has no numbers for.
CALM = {
    "Age of the oldest ready message",
    "Circuits",
    "Circuits opened",
    "Handler's own metrics refused",
    "Nothing is received because",
    "Processes started again",
    "Scale decisions",
    "To the last resort",
    "Waiting for a rate limit",
}


class Metrics:
    """The metrics side of a running `asya up`."""

    def __init__(self, mesh: Up) -> None:
        folder = mesh.state / "metrics"
        self.config = folder / "prometheus.yaml"
        job = yaml.safe_load(self.config.read_text())["scrape_configs"][0]
        self.token = (folder / "token").read_text()
        self.url = f"http://{job['static_configs'][0]['targets'][0]}"
        self.http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, trust_env=False, timeout=10.0
        )

    def text(self) -> str:
        """What Prometheus gets."""
        return self.http.get("/metrics").raise_for_status().text

    def total(self, name: str, **labels: str) -> float:
        """The sum over all samples of a name with these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def counters(self) -> dict[tuple[str, str], float]:
        """Every series that may only grow."""
        return {
            (sample.name, json.dumps(sample.labels, sort_keys=True)): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
            if family.type in ("counter", "histogram")
        }


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Up]:
    actor(tmp_path / "mesh", "first", FIRST, **SCALING, **ONCE)
    actor(tmp_path / "mesh", "second", SECOND, **SCALING)
    with up(tmp_path / "mesh", tmp_path / "state", "--metrics=0") as running_mesh:
        running_mesh.until(lambda: (tmp_path / "state" / "metrics" / "token").exists() or None, "metrics")
        yield running_mesh


def _processed(metrics: Metrics, name: str) -> float:
    return metrics.total("asya_actor_messages_processed_total", actor=name)


def test_dashboards_have_data_in_a_real_prometheus(mesh: Up, tmp_path: Path) -> None:
    metrics = Metrics(mesh)
    config = tmp_path / "prometheus.yaml"
    config.write_text(metrics.config.read_text().replace(": 5s", ": 2s"))
    with running(config, tmp_path) as server:
        sent = 0

        def worked_for_a_while() -> bool | None:
            nonlocal sent
            for number in range(1, 11):
                mesh.send("first", sent + number, route=["second"])
            sent += 10
            samples = server.query('count_over_time(asya_actor_end_to_end_duration_seconds_count{phase="failed"}[1m])')
            return (bool(samples) and float(samples[0]["value"][1]) >= 4) or None

        mesh.until(worked_for_a_while, "four scrapes of finished tasks", 90.0)
        empty = []
        for dashboard in dashboards.DASHBOARDS:
            file = dashboards.PACKAGE / "dashboards" / f"{dashboard.uid}.json"
            for panel in json.loads(file.read_text())["panels"]:
                found = []
                for target in panel.get("targets", ()):
                    expression = target["expr"].replace("$__rate_interval", "30s").replace("$namespace", "default")
                    found += server.query(expression.replace("$actor", ".*"))
                if panel["type"] != "row" and not found:
                    empty.append(panel["title"])
        assert set(empty) <= CALM, empty
        edges = server.query(_map_expression())
        told = {(edge["metric"]["source"], edge["metric"]["target"]) for edge in edges}
        assert told >= {("first", "second"), ("second", "x-sink"), ("first", "first"), ("first", "x-sink")}
        rules = [rule for group in server.get("/api/v1/rules")["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == {alert.name for alert in ALERTS}

        def evaluated() -> bool | None:
            groups = server.get("/api/v1/rules")["groups"]
            return all(rule["health"] == "ok" for group in groups for rule in group["rules"]) or None

        mesh.until(evaluated, "every rule evaluated without an error")
        assert server.query("up{job='asya'}")[0]["value"][1] == "1"
        # Nothing is counted twice by scraping or merging. What a replica counts between the last look at it and its
        # end is not seen: a handful, when a message comes in the moment of scaling down.
        expected = sent + sent // 10
        mesh.until(lambda: _processed(metrics, "first") >= 0.98 * expected or None, "all messages handled")
        assert _processed(metrics, "first") <= expected


def _map_expression() -> str:
    found = json.loads((dashboards.PACKAGE / "dashboards" / "asya-service-map.json").read_text())
    expression: str = next(panel for panel in found["panels"] if panel["type"] == "nodeGraph")["targets"][0]["expr"]
    return expression.replace("$__rate_interval", "30s").replace("$namespace", "default").replace("$actor", ".*")


def test_counters_survive_a_killed_sidecar_and_zero_replicas(mesh: Up) -> None:
    metrics = Metrics(mesh)
    ended = [mesh.send("second", number) for number in range(20)]
    for task_id in ended:
        mesh.ended(task_id)
    mesh.until(lambda: _processed(metrics, "second") == 20 or None, "20 messages counted")
    before = metrics.counters()
    victim = _sidecar_of(mesh, "second")
    os.kill(victim, signal.SIGKILL)
    for task_id in [mesh.send("second", number) for number in range(5)]:
        mesh.ended(task_id)
    mesh.until(lambda: _processed(metrics, "second") == 25 or None, "5 more, on top of those of the killed process")
    restarts = metrics.total("kube_pod_container_status_restarts_total", pod="second-0", container="asya-sidecar")
    assert restarts == 1
    between = metrics.counters()
    mesh.until(lambda: mesh.actors()["second"]["replicas"] == 0 or None, "no replica")
    running_now = "kube_deployment_status_replicas"
    mesh.until(lambda: metrics.total(running_now, deployment="second") == 0 or None, "a look at no replica")
    after = metrics.counters()
    for earlier, later in ((before, between), (between, after)):
        back = {name: (value, later.get(name)) for name, value in earlier.items() if later.get(name, -1.0) < value}
        assert back == {}
    assert _processed(metrics, "second") == 25
    assert metrics.total("asya_actor_build_info", actor="second") == 0
    assert metrics.total("asya_scale_decisions_total", actor="second", direction="down") >= 1
    assert metrics.total("asya_tasks", status="succeeded") == 25


def _sidecar_of(mesh: Up, name: str) -> int:
    for status in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = status.read_bytes().split(b"\0")
            command = (status.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        state = os.fsencode(mesh.state)
        ours = any(word.startswith(b"ASYA_SQLITE_PATH=" + state) for word in words)
        if ours and f"ASYA_ACTOR_NAME={name}".encode() in words and b"asya_sidecar" in command and b"-I" not in command:
            return int(status.parent.name)
    raise AssertionError(f"no sidecar of {name}")


def test_what_is_served_and_to_whom(mesh: Up) -> None:
    metrics = Metrics(mesh)
    # KEDA's own label names; everything else is as promtool wants it.
    done = promtool("check", "metrics", stdin=metrics.text())
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("keda_scaler_metrics_value ")]
    assert complaints == [], done.stderr
    names = metrics.http.get("/dashboards/").json()["dashboards"]
    assert names == [f"{uid}.json" for uid in ("asya-actor", "asya-flow", "asya-mesh", "asya-service-map")]
    for name in names:
        assert metrics.http.get(f"/dashboards/{name}").json()["uid"] == name.removesuffix(".json")
        assert (mesh.state / "metrics" / "dashboards" / name).is_file()
    assert yaml.safe_load(metrics.http.get("/alerts.yaml").text) == yaml.safe_load(
        (dashboards.CHART / "alerts.yaml").read_text()
    )
    assert metrics.http.get("/prometheus.yaml").text == metrics.config.read_text()
    assert promtool("check", "config", str(metrics.config)).returncode == 0
    assert metrics.http.get("/dashboards/..%2falerts.yaml").status_code == 404
    panels = metrics.http.get("/panels.json").json()["panels"]
    news = mesh.until(lambda: _news(metrics), "a look by the page's collector")
    assert len(news) == len(panels)
    assert metrics.http.get("/live.json?after=x").status_code == 400

    for path in ("/metrics", "/live.json", "/panels.json", "/alerts.yaml", "/dashboards/", "/prometheus.yaml"):
        assert httpx.get(metrics.url + path, trust_env=False).status_code == 401
        assert metrics.http.get(path, headers={"Host": "evil.example"}).status_code == 421
    for path in ("/", "/page.js", "/page.css", "/charts.js", "/map.js"):
        page = httpx.get(metrics.url + path, trust_env=False)
        assert page.status_code == 200
        assert metrics.token not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
    assert (mesh.state / "metrics" / "token").stat().st_mode & 0o777 == 0o600
    assert mesh.stop() == 0
    assert not (mesh.state / "metrics" / "token").exists()


def _news(metrics: Metrics) -> list[dict[str, object]] | None:
    panels: list[dict[str, object]] = metrics.http.get("/live.json").json()["panels"]
    return panels if any(panels) else None


def test_a_port_that_is_taken_is_told_at_once(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "first", FIRST)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("up", str(tmp_path / "mesh"), "--state", str(tmp_path / "state"), f"--metrics={port}")
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 cannot be used: Address already in use" in done.stderr
    assert "choose another port: --metrics=PORT" in done.stderr


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("0.0.0.0:9464", "0.0.0.0 is not loopback"),
        ("example.org:9464", "example.org is not loopback"),
        ("99999", "'99999' is not an address"),
        ("all", "'all' is not an address"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(tmp_path: Path, address: str, told: str) -> None:
    done = run("up", str(tmp_path), f"--metrics={address}")
    assert done.returncode == 2
    assert told in done.stderr
