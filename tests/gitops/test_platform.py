"""Argo CD and Flux install the same platform, in an order that can work, at the versions that are tested."""

from __future__ import annotations

import asyncio
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml
from pyhelm3 import Client
from tests.charts.binaries import ROOT, needed
from tests.charts.scenarios import copy_charts, render
from tests.gitops.building import GITOPS, Manifest, build, one

TRANSPORTS = ("rabbitmq", "sqs", "pubsub")
WAVE = "argocd.argoproj.io/sync-wave"


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_charts(tmp_path_factory.mktemp("charts"))


def _rendered(charts: Path, chart: str, *values: Manifest) -> list[Manifest]:
    return asyncio.run(render(Client(executable=str(needed("helm"))), charts, chart, *values))


def _argocd_values(transport: str) -> list[Manifest]:
    helm = one(build(f"argocd/{transport}"), "Application", "asya-platform")["spec"]["source"]["helm"]
    files = [yaml.safe_load((ROOT / "charts/asya" / name).read_text()) for name in helm["valueFiles"]]
    return [*files, helm["valuesObject"]]


def _flux_values(transport: str) -> Manifest:
    values: Manifest = one(build(f"flux/platform/{transport}"), "HelmRelease", "asya")["spec"]["values"]
    return values


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_both_install_the_same(charts: Path, transport: str) -> None:
    of_argocd = _rendered(charts, "asya", *_argocd_values(transport))
    assert _rendered(charts, "asya", _flux_values(transport)) == of_argocd
    composition = one(of_argocd, "Composition", "asyncactors")["spec"]["pipeline"][0]["input"]
    assert composition["defaultTransport"] == transport
    # These have steps of their own.
    later = [each for each in of_argocd if each["kind"] in {"AsyncActor", "ClusterProviderConfig", "Queue", "Exchange"}]
    assert later == []


def test_git_and_the_chart_make_the_same_delay_queues(charts: Path) -> None:
    def shape(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
        # The chart writes the default virtual host out.
        found = [each for each in manifests if each["apiVersion"] == "rabbitmq.com/v1beta1"]
        return {(each["kind"], each["metadata"]["name"]): {"vhost": "/"} | each["spec"] for each in found}

    values = _argocd_values("rabbitmq")
    values[-1]["asya-crossplane"] = {"delays": {"install": True}}
    of_git = shape(build("kustomize/platform/rabbitmq"))
    assert shape(_rendered(charts, "asya", *values)) == of_git != {}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_both_tell_keda_who_it_is(transport: str) -> None:
    keda = [values["keda"] for values in _argocd_values(transport) if "keda" in values]
    # The second lies over the first; they say different things of one cloud.
    identity: Manifest = {}
    for values in keda:
        for cloud, said in values["podIdentity"].items():
            for name, value in said.items():
                old = identity.setdefault(cloud, {}).get(name)
                identity[cloud][name] = {**old, **value} if isinstance(old, dict) else value
    assert identity == _flux_values(transport).get("keda", {}).get("podIdentity", {})


def test_the_crew_is_the_charts(charts: Path) -> None:
    def shape(manifests: list[Manifest]) -> list[Manifest]:
        actors = [each for each in manifests if each["kind"] == "AsyncActor"]
        return [{"labels": each["metadata"]["labels"], "spec": each["spec"]} for each in actors]

    own = build("kustomize/bases/crew")
    assert shape(own) == shape(_rendered(charts, "asya-crew", {"mode": "manifests"}))
    assert {each["metadata"]["annotations"][WAVE] for each in own} == {"-1"}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_waves_bring_what_is_needed_first(transport: str) -> None:
    built = build(f"argocd/{transport}")
    wave = {each["metadata"]["name"]: int(each["metadata"]["annotations"][WAVE]) for each in built}
    projects = [each for each in built if each["kind"] == "AppProject"]
    assert {int(each["metadata"]["annotations"][WAVE]) for each in projects} == {-1}
    order = ["crossplane", "asya-platform", "asya-transport", "actors"]
    (teams,) = [each for each in built if each["kind"] == "ApplicationSet"]
    wave["actors"] = int(teams["metadata"]["annotations"][WAVE])
    # Strictly: no two share a wave.
    assert [wave[name] for name in order] == sorted({wave[name] for name in order})
    if transport == "rabbitmq":
        assert wave["cert-manager"] < wave["rabbitmq-topology-operator"] < wave["asya-platform"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_projects_allow_what_applications_ask(transport: str) -> None:
    built = build(f"argocd/{transport}")
    for each in built:
        spec = each["spec"]["template"]["spec"] if each["kind"] == "ApplicationSet" else each["spec"]
        if each["kind"] == "AppProject":
            continue
        allowed = one(built, "AppProject", spec["project"])["spec"]["sourceRepos"]
        assert {source["repoURL"] for source in spec.get("sources") or [spec["source"]]} <= set(allowed)


def test_teams_may_apply_what_their_folders_have() -> None:
    project = one(build("argocd/rabbitmq"), "AppProject", "asya-teams")["spec"]
    allowed = {
        (each["group"], each["kind"])
        for each in [*project["clusterResourceWhitelist"], *project["namespaceResourceWhitelist"]]
    }
    for environment in ("development", "staging", "production"):
        for each in build(f"kustomize/overlays/{environment}/pictures"):
            assert (each["apiVersion"].rpartition("/")[0], each["kind"]) in allowed


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_paths_lead_to_folders_that_build(transport: str) -> None:
    built = build(f"argocd/{transport}")
    teams = one(built, "ApplicationSet", "asya-teams")["spec"]["generators"][0]["git"]["directories"][0]["path"]
    paths = [one(built, "Application", "asya-transport")["spec"]["source"]["path"]]
    paths += [str(path.relative_to(ROOT)) for path in ROOT.glob(teams)]
    assert len(paths) >= 2
    for each in build(f"flux/{transport}"):
        if each["kind"] == "Kustomization" and each["spec"]["sourceRef"]["name"] == "asya":
            paths.append(each["spec"]["path"])
    for path in paths:
        assert build(path.removeprefix("./").removeprefix("gitops/"))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_flux_waits_for_what_is_needed_first(transport: str) -> None:
    steps = {
        each["metadata"]["name"]: each["spec"] for each in build(f"flux/{transport}") if each["kind"] == "Kustomization"
    }
    graph = {name: {each["name"] for each in spec.get("dependsOn", ())} for name, spec in steps.items()}
    assert set().union(*graph.values()) <= set(steps)
    order = list(TopologicalSorter(graph).static_order())
    assert order[-3:] == ["asya-platform", "asya-transport", "actors-pictures"]
    assert {name for name in graph if not graph[name]} <= {"asya-prerequisites", "rabbitmq-definitions"}
    for name, spec in steps.items():
        assert spec.get("wait") or spec.get("healthChecks"), f"nothing waits for {name}"


@pytest.mark.parametrize(("transport", "cloud"), [("sqs", "aws"), ("pubsub", "gcp")])
def test_flux_waits_for_the_providers_of_the_chart(transport: str, cloud: str) -> None:
    names = yaml.safe_load((ROOT / "charts/asya-crossplane/files/providers.yaml").read_text())[cloud]
    checks = one(build(f"flux/{transport}"), "Kustomization", "asya-platform")["spec"]["healthChecks"]
    assert [each["name"] for each in checks if each["kind"] == "Provider"] == names


def test_versions_are_the_tested_ones() -> None:
    modules = tomllib.loads((ROOT / "tools/versions.toml").read_text())["module"]
    version = {name: module["version"] for name, module in modules.items()}
    built, flux = build("argocd/rabbitmq"), build("flux/rabbitmq")
    assert one(built, "Application", "crossplane")["spec"]["source"]["targetRevision"] == version["crossplane"][1:]
    release = one(build("flux/prerequisites"), "HelmRelease", "crossplane")
    assert release["spec"]["chart"]["spec"]["version"] == version["crossplane"][1:]
    kinds, operator = one(built, "Application", "rabbitmq-topology-operator")["spec"]["sources"]
    tag = version["topology-operator"]
    assert (kinds["targetRevision"], operator["targetRevision"]) == (version["cluster-operator"], tag)
    assert operator["kustomize"]["images"][0].endswith(f":{tag[1:]}")
    assert one(flux, "GitRepository", "rabbitmq-topology-operator")["spec"]["ref"]["tag"] == tag
    assert one(flux, "GitRepository", "rabbitmq-cluster-operator")["spec"]["ref"]["tag"] == version["cluster-operator"]
    assert one(flux, "Kustomization", "rabbitmq-topology-operator")["spec"]["images"][0]["newTag"] == tag[1:]


def test_nothing_is_left_to_fill_in() -> None:
    for transport in TRANSPORTS:
        text = yaml.safe_dump_all([*build(f"argocd/{transport}"), *build(f"flux/{transport}")])
        assert "TRANSPORT" not in text
    root = yaml.safe_load((GITOPS / "argocd" / "root.yaml").read_text())
    assert (ROOT / root["spec"]["source"]["path"] / "kustomization.yaml").is_file()
