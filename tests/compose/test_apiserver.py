"""A real API server takes the definitions, and asks of manifests what the models ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.apiserver import ApiServer, api_server
from tests.support.definition import crd_of
from tests.support.manifests import BAD, GOOD, expectation
from tests.support.processes import until

from asya.api.xrd import definition, legacy_definition

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver")]
SEEDS = sorted((Path(__file__).parents[1] / "fixtures" / "seeds").glob("*/asyncactor.yaml"))
DEFINITIONS = {"namespaced": definition, "claim": legacy_definition}
# Crossplane's own fields are in another place of a claim.
ONLY_NAMESPACED = {"chosen-composition"}
GOOD_LEAST = next(file for file in GOOD if file.stem == "least")
ESTABLISHED_SECONDS = 30.0

Manifest = dict[str, Any]


class Actors:
    """The actors of one API server: write them, strictly, and look at them."""

    def __init__(self, server: ApiServer) -> None:
        from kubernetes import client

        self._server = server
        self._custom = client.CustomObjectsApi(server.client())
        self._place = {"group": "asya.sh", "version": "v1alpha1", "namespace": "default", "plural": "asyncactors"}

    def create(self, manifest: Manifest, *, keep: bool = False) -> Manifest:
        """Create it as `kubectl apply` does, unknown fields refused; return what the server would keep."""
        dry = {} if keep else {"dry_run": "All"}
        created: Manifest = self._custom.create_namespaced_custom_object(
            **self._place, body=manifest, field_validation="Strict", **dry
        )
        return created

    def change(self, name: str, **spec: Any) -> Manifest:
        """Change fields of an actor that is there; None takes one away. Return what the server would keep."""
        changed: Manifest = self._custom.patch_namespaced_custom_object(
            **self._place, name=name, body={"spec": spec}, dry_run="All", field_validation="Strict"
        )
        return changed

    def refusal(self, manifest: Manifest) -> str:
        """Return the server's answer to a manifest that it must refuse."""
        return _refused(lambda: self.create(manifest))

    def refusal_to_change(self, name: str, **spec: Any) -> str:
        """Return the server's answer to a change that it must refuse."""
        return _refused(lambda: self.change(name, **spec))

    def set_status(self, name: str, status: Manifest) -> None:
        """Write an actor's status."""
        self._custom.patch_namespaced_custom_object_status(**self._place, name=name, body={"status": status})

    def table(self) -> Manifest:
        """Return what `kubectl get -o wide` shows."""
        path = "/apis/asya.sh/v1alpha1/namespaces/default/asyncactors"
        table: Manifest = json.loads(self._server.get(path, accept="application/json;as=Table;v=v1;g=meta.k8s.io"))
        return table


def _refused(call: Callable[[], object]) -> str:
    from kubernetes.client.exceptions import ApiException

    with pytest.raises(ApiException) as caught:
        call()
    assert caught.value.status in {400, 422}
    message: str = json.loads(caught.value.body)["message"]
    return message


@pytest.fixture(scope="module", params=DEFINITIONS)
def actors(request: pytest.FixtureRequest) -> Iterator[Actors]:
    """An API server that serves the kind, by one definition or the other."""
    with api_server() as server:
        _serve(server.client(), crd_of(DEFINITIONS[request.param]()))
        yield Actors(server)


def _serve(client: Any, crd: Manifest) -> None:
    import asyncio

    from kubernetes import client as kubernetes

    api = kubernetes.ApiextensionsV1Api(client)
    api.create_custom_resource_definition(crd)

    def conditions() -> dict[str, str]:
        found = api.read_custom_resource_definition(crd["metadata"]["name"]).status.conditions or ()
        return {each.type: each.message for each in found if each.status == "True"}

    def served() -> bool:
        return "Established" in conditions()

    asyncio.run(until(served, within=ESTABLISHED_SECONDS, what=lambda: f"established: {conditions()}"))
    # Breaks of the structural rules are no error but a condition.
    assert "NonStructuralSchema" not in conditions(), conditions()


def _read(file: Path) -> Manifest:
    manifest: Manifest = yaml.safe_load(file.read_text())
    return manifest


def _is_claim(request: pytest.FixtureRequest) -> bool:
    return "claim" in request.node.callspec.id


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_a_good_manifest_is_taken_as_it_is_written(actors: Actors, file: Path, request: pytest.FixtureRequest) -> None:
    manifest = _read(file)
    if _is_claim(request) and file.stem in ONLY_NAMESPACED:
        assert "unknown field" in actors.refusal(manifest)
        return
    # Nothing is left out and no default is written in, so that a flavor may still set what the actor does not.
    assert actors.create(manifest)["spec"] == manifest["spec"]


@pytest.mark.parametrize("file", SEEDS, ids=lambda file: file.parent.name)
def test_a_printed_manifest_is_taken_as_it_is_written(actors: Actors, file: Path) -> None:
    manifest = _read(file)
    assert actors.create(manifest)["spec"] == manifest["spec"]


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_manifest_is_refused_and_says_why(actors: Actors, file: Path) -> None:
    expected = expectation(file).cluster
    if expected is None:
        actors.create(_read(file))  # were it refused, the file should say with what words
    else:
        assert expected in actors.refusal(_read(file))


def test_the_name_of_an_actor_stays(actors: Actors) -> None:
    least = _read(GOOD_LEAST)
    actors.create({**least, "metadata": {"name": "by-its-own"}}, keep=True)
    actors.create({**least, "metadata": {"name": "other"}, "spec": {**least["spec"], "actor": "given"}}, keep=True)

    for name, actor in (("by-its-own", "another"), ("other", "another"), ("other", None)):
        message = actors.refusal_to_change(name, actor=actor)
        assert "spec.actor: Invalid value" in message
        assert "cannot change; make another actor" in message

    # What it is called anyway may be written down, and all else may change.
    assert actors.change("by-its-own", actor="by-its-own")["spec"]["actor"] == "by-its-own"
    assert actors.change("other", image="i:2", transport="sqs")["spec"]["transport"] == "sqs"


def test_status_is_kept_and_shown(actors: Actors) -> None:
    actors.create(_read(GOOD[0]) | {"metadata": {"name": "shown"}}, keep=True)
    actors.set_status(
        "shown",
        {
            "phase": "Degraded",
            "observedGeneration": 1,
            "transport": "rabbitmq",
            "queueIdentifier": "asya_default_shown",
            "replicas": 2,
            "readyReplicas": 1,
            "flavors": ["gpu"],
            "message": "no such image",
            "infrastructure": {"queue": {"ready": True}, "keda": {"ready": True}, "workload": {"ready": False}},
            "conditions": [
                {
                    "type": "Ready",
                    "status": "False",
                    "reason": "Creating",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
        },
    )
    table = actors.table()
    columns = [column["name"] for column in table["columnDefinitions"]]
    row = dict(zip(columns, next(row["cells"] for row in table["rows"] if row["cells"][0] == "shown"), strict=True))
    assert {name: row[name] for name in ("Phase", "Replicas", "Transport", "Reason", "READY")} == {
        "Phase": "Degraded",
        "Replicas": 2,
        "Transport": "rabbitmq",
        "Reason": "no such image",
        "READY": "False",
    }
    assert "AGE" in columns


def test_a_phase_that_is_none_is_refused(actors: Actors) -> None:
    from kubernetes.client.exceptions import ApiException

    actors.create(_read(GOOD[0]) | {"metadata": {"name": "odd"}}, keep=True)
    with pytest.raises(ApiException, match="Unsupported value"):
        actors.set_status("odd", {"phase": "Sleeping"})
