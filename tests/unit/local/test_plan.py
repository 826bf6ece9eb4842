"""From manifests to what runs here."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from asya.api import Manifests, read_manifests
from asya.errors import ManifestError
from asya.local.autoscale import Scaling
from asya.local.plan import LOCAL_POLLING_SECONDS, LOCAL_SQS_WAIT, ActorPlan, MeshPlan, make_plan


def manifest(name: str, *, namespace: str | None = None, **spec: object) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "asya.sh/v1alpha1",
        "kind": "AsyncActor",
        "metadata": metadata,
        "spec": {"image": "any:1", "handler": "handler.handle"} | spec,
    }


def read(folder: Path, *manifests: dict[str, Any]) -> Manifests:
    (folder / "actors.yaml").write_text("---\n".join(yaml.safe_dump(one) for one in manifests))
    return read_manifests([folder])


def plan(folder: Path, *manifests: dict[str, Any], **given: Any) -> MeshPlan:
    options = {"transport": "sqlite", "namespace": None, "environ": {"PATH": "/bin", "ASYA_HANDLER": "stray"}} | given
    return make_plan(read(folder, *manifests), folder, **options)


def only(mesh: MeshPlan) -> ActorPlan:
    [found] = [one for one in mesh.actors if not one.name.startswith("x-")]
    return found


def test_the_crew_comes_by_itself_and_may_sleep(tmp_path: Path) -> None:
    crew = {one.name: one for one in plan(tmp_path, manifest("a")).actors if one.name != "a"}
    assert {name: one.handler for name, one in crew.items()} == {
        "x-sink": "asya.crew.sink.handle",
        "x-sump": "asya.crew.sump.handle",
    }
    assert all((one.scaling.min_replicas, one.scaling.max_replicas) == (0, 1) for one in crew.values())


def test_handlers_are_looked_for_beside_the_actor_then_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    environ = only(plan(tmp_path, manifest("a"))).runtime_env
    assert environ["ASYA_HANDLER_PATH"].split(":") == [str(tmp_path / "a"), str(tmp_path)]
    assert only(plan(tmp_path, manifest("b"))).runtime_env["ASYA_HANDLER_PATH"] == str(tmp_path)


def test_polls_of_sqs_are_short_unless_the_manifest_says_how_long(tmp_path: Path) -> None:
    own = manifest("own", sidecar={"env": [{"name": "ASYA_SQS_WAIT", "value": "20s"}]})
    waits = {
        one.name: one.sidecar_env.get("ASYA_SQS_WAIT")
        for one in plan(tmp_path, manifest("a"), own, transport="sqs").actors
    }
    assert waits == {"a": LOCAL_SQS_WAIT, "own": "20s", "x-sink": LOCAL_SQS_WAIT, "x-sump": LOCAL_SQS_WAIT}
    assert "ASYA_SQS_WAIT" not in only(plan(tmp_path, manifest("a"), transport="redis")).sidecar_env


def test_both_processes_inherit_our_environment_without_variables_of_ours(tmp_path: Path) -> None:
    actor = only(plan(tmp_path, manifest("a", env=[{"name": "PATH", "value": "/mine"}, {"name": "X", "value": "1"}])))
    assert (actor.runtime_env["PATH"], actor.runtime_env["X"], actor.sidecar_env["PATH"]) == ("/mine", "1", "/bin")
    assert actor.runtime_env["ASYA_HANDLER"] == "handler.handle"
    assert "ASYA_HANDLER" not in actor.sidecar_env
    assert actor.sidecar_env["ASYA_ACTOR_NAME"] == "a"


def test_what_the_crew_needs_to_know_reaches_it_and_nobody_else(tmp_path: Path) -> None:
    environ = {"ASYA_CHECKPOINT_URL": "file:///kept"}
    mesh = plan(tmp_path, manifest("a"), environ=environ)
    told = {one.name for one in mesh.actors if "ASYA_CHECKPOINT_URL" in one.runtime_env}
    assert told == {"x-sink", "x-sump"}


@pytest.mark.parametrize(
    ("spec", "wanted", "reason"),
    [
        ({}, Scaling(polling_interval=LOCAL_POLLING_SECONDS), "not written: looked at more often than in a cluster"),
        ({"scaling": {"pollingInterval": 30}}, Scaling(polling_interval=30.0), "written: as written"),
        (
            {"scaling": {"minReplicaCount": 1, "maxReplicaCount": 4, "queueLength": 2, "cooldownPeriod": 9}},
            Scaling(min_replicas=1, max_replicas=4, queue_length=2, cooldown=9.0, polling_interval=1.0),
            "the common fields",
        ),
        ({"scaling": {"enabled": False}, "replicas": 3}, Scaling(fixed=3, polling_interval=1.0), "no scaling"),
        ({"scaling": {"paused": True}}, Scaling(paused=True, polling_interval=1.0), "paused"),
        ({"scaling": {"pausedReplicaCount": 2}}, Scaling(fixed=2, polling_interval=1.0), "held at a number"),
    ],
)
def test_scaling_is_read_from_the_manifest(tmp_path: Path, spec: dict[str, Any], wanted: Scaling, reason: str) -> None:
    assert only(plan(tmp_path, manifest("a", **spec))).scaling == wanted, reason


@pytest.mark.parametrize(
    ("namespace", "manifests", "chosen", "actors"),
    [
        (None, [manifest("a")], "default", {"a"}),
        (None, [manifest("a", namespace="shop")], "shop", {"a"}),
        ("x", [manifest("a")], "x", {"a"}),
        ("shop", [manifest("a", namespace="shop"), manifest("b", namespace="lab"), manifest("c")], "shop", {"a", "c"}),
    ],
)
def test_one_namespace_runs(
    tmp_path: Path, namespace: str | None, manifests: list[dict[str, Any]], chosen: str, actors: set[str]
) -> None:
    mesh = plan(tmp_path, *manifests, namespace=namespace)
    assert (mesh.namespace, {one.name for one in mesh.actors} - {"x-sink", "x-sump"}) == (chosen, actors)
    assert len([note for note in mesh.notes if "left out" in note]) == len(manifests) - len(actors)


@pytest.mark.parametrize(
    ("manifests", "given", "said"),
    [
        ([manifest("a", namespace="one"), manifest("b", namespace="two")], {}, ["give --namespace"]),
        ([manifest("a", namespace="one")], {"namespace": "two"}, ["no actor is in namespace two"]),
        ([manifest("resize")], {"only": ["resise"]}, ["did you mean 'resize'?"]),
        (
            [manifest("a", resiliency={"policies": {"default": {"onExhausted": ["b"]}}}), manifest("c", hndler="x")],
            {},
            ["hndler", "onExhausted: there is no actor 'b'"],
        ),
        (
            [manifest("a", resiliency={"destinations": {"bb": {"rateLimit": {"rate": "1/s"}}}}), manifest("b")],
            {},
            ["spec.resiliency.destinations: there is no actor 'bb'; did you mean 'b'?"],
        ),
    ],
)
def test_all_problems_are_told_at_once(
    tmp_path: Path, manifests: list[dict[str, Any]], given: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(ManifestError) as caught:
        plan(tmp_path, *manifests, **given)
    assert len(caught.value.problems) == len(said)
    assert all(words in problem for words, problem in zip(said, caught.value.problems, strict=True))


def test_actors_that_are_not_asked_for_only_get_queues(tmp_path: Path) -> None:
    mesh = plan(tmp_path, manifest("a"), manifest("b"), only=["a"])
    assert ({one.name for one in mesh.actors}, {one.name for one in mesh.idle}) == ({"a", "x-sink", "x-sump"}, {"b"})


@pytest.mark.parametrize(
    ("variables", "environ", "value", "warned"),
    [
        ({"TOKEN": "file"}, {}, "file", False),
        ({"TOKEN": "file"}, {"TOKEN": "ours"}, "file", False),
        (None, {"TOKEN": "ours"}, "ours", False),
        ({}, {}, None, True),
        (None, {}, None, True),
    ],
)
def test_secrets_come_from_the_file_then_from_our_environment(
    tmp_path: Path, variables: dict[str, str] | None, environ: dict[str, str], value: str | None, warned: bool
) -> None:
    actor = manifest("a", secretRefs=[{"secretName": "s", "keys": [{"key": "k", "envVar": "TOKEN"}]}])
    mesh = plan(tmp_path, actor, variables=variables, environ=environ)
    assert only(mesh).runtime_env.get("TOKEN") == value
    assert [("TOKEN" in warning) for warning in mesh.warnings] == ([True] if warned else [])


def test_a_whole_secret_is_the_whole_file(tmp_path: Path) -> None:
    actor = manifest("a", envFrom=[{"secretRef": {"name": "all"}}])
    assert only(plan(tmp_path, actor, variables={"A": "1", "B": "2"})).runtime_env["B"] == "2"
    assert "Secret/all" in plan(tmp_path, actor).warnings[0]


def test_what_has_no_effect_here_is_said(tmp_path: Path) -> None:
    mesh = plan(tmp_path, manifest("a", resources={"limits": {"cpu": "1"}}, volumes=[{"name": "v"}]))
    assert mesh.notes[-1] == "without effect on one machine: spec.image, spec.resources"
    assert mesh.warnings == ("a: spec.volumes is not available here",)


def test_the_interpreter_of_this_environment_stands_for_python3(tmp_path: Path) -> None:
    assert only(plan(tmp_path, manifest("a"))).python == sys.executable
    assert only(plan(tmp_path, manifest("a", pythonExecutable="/opt/py/bin/python"))).python == "/opt/py/bin/python"
