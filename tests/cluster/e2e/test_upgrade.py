"""An upgrade from the last release's charts while messages flow, and what an uninstall leaves. The platform goes with
it, so these are the last tests; where the cluster stays up, it is installed again.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster import platform
from tests.cluster.e2e.flow import Flow
from tests.cluster.e2e.install import CLOUDS, VALUES
from tests.cluster.e2e.mail import Mail
from tests.cluster.e2e.report import Report
from tests.cluster.e2e.stage import Stage
from tests.cluster.e2e.target import Own, Target
from tests.cluster.plan import ROOT, ClusterError
from tests.cluster.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]
WORKS, NAPS = "works", "naps"
MILLISECONDS = 25
_SOME = 25
# See docs/operate/install.md; what else stays says so itself by Helm's annotation.
LEFT_BY_DESIGN = {
    "apiservice.apiregistration.k8s.io/v1alpha1.asya.sh",
    "compositeresourcedefinition.apiextensions.crossplane.io/asyncactors.asya.sh",
    "customresourcedefinition.apiextensions.k8s.io/asyncactors.asya.sh",
    "secret/kedaorg-certs",
    # Crossplane's, for as long as the definition is there.
    *(
        f"clusterrole.rbac.authorization.k8s.io/crossplane:composite:asyncactors.asya.sh:aggregate-to-{whom}"
        for whom in ("browse", "crossplane", "edit", "view")
    ),
    # The harness's own.
    "clusterrole.rbac.authorization.k8s.io/asya-cluster-dns",
    "clusterrolebinding.rbac.authorization.k8s.io/asya-cluster-dns",
}
# Who wrote something once, and what is about others, is nobody's orphan.
_PASSING = ("event", "lease", "endpoints", "endpointslice", "pod", "compositionrevision", "controllerrevision")


@pytest.fixture(scope="module")
def own(target: Target) -> Iterator[Own]:
    """The cluster of this repository; its platform is put back where somebody goes on using it."""
    if not isinstance(target, Own):
        pytest.skip("the platform of somebody else's cluster is left alone")
    yield target
    if os.environ.get("KEEP"):
        platform.install(target.cluster.plan, VALUES, CLOUDS)


@pytest.fixture(scope="module")
def released(own: Own, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The charts as of the last release, from this repository's history; its images are those of now."""
    git = ["git", "-C", str(ROOT)]
    found = subprocess.run(
        [*git, "log", "-1", "--format=%H", "--grep=^Release [0-9]"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not found:
        pytest.skip("this checkout's history does not reach back to a release")
    content = subprocess.run([*git, "archive", found, "charts"], capture_output=True, check=True).stdout
    folder = tmp_path_factory.mktemp("released")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")
    charts = folder / "charts"
    version = str(yaml.safe_load((charts / "asya" / "Chart.yaml").read_text())["appVersion"])
    if version != platform.version():
        platform.tag(own.cluster.namespaces, version)
    return charts


def test_an_upgrade_keeps_actors_and_messages(own: Own, released: Path, report: Report) -> None:
    """One actor works meanwhile, another has messages and no pod, because its scaler is paused."""
    plan, stage = own.cluster.plan, Stage(own, "upgraded")
    platform.install(plan, VALUES, CLOUDS, charts=released)
    one = {"minReplicaCount": 1, "maxReplicaCount": 1, "pollingInterval": 1}
    stage.kubectl.apply(stage.actor(WORKS, scaling=one), stage.actor(NAPS, scaling={**one, "minReplicaCount": 0}))
    stage.ready(WORKS, NAPS, "x-sink", "x-sump")
    before = _identities(stage)
    flow = Flow(stage, report)
    _pause(stage, "true")
    waiting = stage.mail.send([NAPS], [{"n": n, "ms": 1} for n in range(_SOME)])

    flow.run(
        "release upgraded",
        lambda: platform.install(plan, VALUES, CLOUDS),
        route=[WORKS],
        payload=lambda _: {"ms": MILLISECONDS},
        idle=[NAPS],
    )
    assert stage.mail.depths()[NAPS] == _SOME, "they have waited"
    _pause(stage, None)
    stage.mail.wait(waiting, 180)
    flow.count("release upgraded; messages for an actor at zero", waiting, 0)
    stage.ready(WORKS, NAPS, "x-sink", "x-sump")
    assert _identities(stage) == before


def test_an_uninstall_leaves_nothing(own: Own) -> None:
    """In the order that docs/operate/install.md names: the actors first."""
    kubectl, everywhere = own.kubectl, "--all-namespaces"
    kubectl("delete", "asyncactors", "--all", everywhere, "--timeout=240s", seconds=300)
    namespaces = sorted(each["metadata"]["name"] for each in kubectl.get("namespaces")["items"])
    mine = [name for name in namespaces if _is_mine(own, name)]
    kubectl("delete", "namespaces", *mine, "--timeout=180s", seconds=240)
    queues = [name for namespace in mine for name in Mail(own, namespace).depths()]
    assert queues == []
    platform.uninstall(own.cluster.plan)
    left: list[str] = []

    def gone() -> bool:
        left[:] = sorted(set(_ours(own)) - LEFT_BY_DESIGN)
        return not left

    wait_until("nothing left", gone, 120, lambda: "\n".join(left))


def _is_mine(own: Own, namespace: str) -> bool:
    """Whether a test made it."""
    labels = own.kubectl.get("namespace", namespace)["metadata"].get("labels", {})
    return bool(labels.get("pod-security.kubernetes.io/enforce") == "restricted")


def _identities(stage: Stage) -> dict[str, str]:
    """What tells each actor, its Deployment and its queue from another of the same name."""
    kinds = "asyncactors,deployments,queues.rabbitmq.com"
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["uid"] for each in stage.get(kinds)["items"]}


def _pause(stage: Stage, value: str | None) -> None:
    """Let KEDA leave the second actor at zero, or not any more."""
    word = "autoscaling.keda.sh/paused" + ("-" if value is None else f"={value}")
    scalers = stage.get("scaledobjects", "--selector", f"asya.sh/actor={NAPS}")["items"]
    (name,) = (each["metadata"]["name"] for each in scalers)
    stage.kubectl("annotate", f"scaledobject/{name}", f"--namespace={stage.namespace}", word, "--overwrite")


def _ours(own: Own) -> Iterator[str]:
    """Every object of the cluster that the release made, or that bears its name or KEDA's."""
    listed = own.kubectl("api-resources", "--verbs=list", "--output=name").split()
    kinds = [each for each in listed if each.partition(".")[0].rstrip("s") not in _PASSING and "metrics" not in each]
    try:
        items: list[Any] = own.kubectl.get(",".join(kinds), "--all-namespaces")["items"]
    except ClusterError:
        yield "kinds that are not served any more"
        return
    for each in items:
        metadata = each["metadata"]
        group = each["apiVersion"].rpartition("/")[0]
        name = f"{each['kind'].lower()}{f'.{group}' if group else ''}/{metadata['name']}"
        release = metadata.get("annotations", {}).get("meta.helm.sh/release-name")
        named = any(word in metadata["name"] for word in ("asya", "keda"))
        if metadata.get("annotations", {}).get("helm.sh/resource-policy") == "keep":
            continue
        if release == platform.RELEASE or (named and each["kind"] != "Namespace"):
            yield name
