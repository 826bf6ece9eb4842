"""Every folder of gitops/ builds, and what it builds is strictly what its kinds are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from delay_ladder import text as ladder
from tests.charts.conform import refused
from tests.charts.sources import schemas, source
from tests.gitops.building import GITOPS, build, folders
from tests.support.cel import broken_rules

from asya.api.check import check
from asya.api.crd import resource_schema
from asya.api.manifest import parse_manifests
from asya.transports.rabbitmq.ladder import Ladder

pytestmark = pytest.mark.charts
OVERLAYS = [folder for folder in folders() if folder.startswith("kustomize/overlays/")]

# Their definitions come with the providers' packages, which are no Go modules.
WITHOUT_SCHEMA = {
    ("aws.m.upbound.io", "v1beta1", "ClusterProviderConfig"),
    ("gcp.m.upbound.io", "v1beta1", "ClusterProviderConfig"),
}


@pytest.fixture(scope="module")
def delivery_schemas() -> None:
    """Let kubeconform know the kinds of Argo CD and Flux besides."""
    schemas().add_folder(source("argo-cd") / "manifests" / "crds")
    for name in ("flux-kustomize", "flux-helm", "flux-source"):
        schemas().add_folder(source(name) / "config" / "crd" / "bases")


@pytest.mark.parametrize("folder", folders())
@pytest.mark.usefixtures("delivery_schemas")
def test_objects_fit_the_schemas(folder: str, tmp_path: Path) -> None:
    built = build(folder)
    assert built
    assert refused(built, tmp_path, without=WITHOUT_SCHEMA) == []


@pytest.mark.usefixtures("delivery_schemas")
def test_the_root_application_fits_its_schema(tmp_path: Path) -> None:
    root = yaml.safe_load((GITOPS / "argocd" / "root.yaml").read_text())
    assert refused([root], tmp_path, without=set()) == []
    root["spec"]["syncPolicy"]["automatic"] = {}
    assert len(refused([root], tmp_path, without=set())) == 1


@pytest.mark.parametrize("folder", ["kustomize/bases/pictures", "kustomize/bases/crew", *OVERLAYS])
def test_actors_are_valid(folder: str) -> None:
    actors = [each for each in build(folder) if each["kind"] == "AsyncActor"]
    assert len(actors) >= 2
    for actor in actors:
        assert check(actor)[1] == []
        assert list(broken_rules(resource_schema(), actor)) == []
    assert parse_manifests(yaml.safe_dump_all(actors)).problems == []


@pytest.mark.parametrize(
    ("environment", "transport"), [("development", "rabbitmq"), ("staging", "sqs"), ("production", "pubsub")]
)
def test_an_environment_has_one_transport(environment: str, transport: str) -> None:
    built = build(f"kustomize/overlays/{environment}/pictures")
    actors = {each["metadata"]["name"]: each for each in built if each["kind"] == "AsyncActor"}
    assert set(actors) == {"x-sink", "x-sump", "resize", "caption"}
    assert {each["spec"]["transport"] for each in actors.values()} == {transport}
    assert {each["metadata"]["namespace"] for each in actors.values()} == {"pictures"}


def test_components_are_used_and_do_something() -> None:
    used = {
        component
        for folder in OVERLAYS
        for component in yaml.safe_load((GITOPS / folder / "kustomization.yaml").read_text())["components"]
    }
    assert {f"../../../{folder.removeprefix('kustomize/')}" for folder in folders("Component")} == used
    small = [each for each in build("kustomize/overlays/development/pictures") if each["kind"] == "AsyncActor"]
    assert {each["spec"]["scaling"]["maxReplicaCount"] for each in small} == {2}


def test_the_delay_ladder_is_what_sidecars_expect() -> None:
    assert (GITOPS / "kustomize/platform/rabbitmq/delay-ladder.yaml").read_text() == ladder()


def test_the_ladders_objects_have_names_of_their_own() -> None:
    built = build("kustomize/platform/rabbitmq")
    names = [(each["kind"], each["metadata"]["name"]) for each in built]
    assert len(set(names)) == len(names)
    kinds = Counter(kind for kind, _ in names)
    levels = Ladder().levels
    # A level has an exchange, a queue and two bindings; around them are lost, arrivals and the marker.
    assert kinds == {"Exchange": levels + 3, "Queue": levels + 1, "Binding": 2 * levels + 1}
    assert {each["metadata"]["namespace"] for each in built} == {"asya-system"}
