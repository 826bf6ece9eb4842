"""Reading manifests: files, folders, several documents, other kinds, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from asya.api import ActorSpec, AsyncActor, Metadata, load_manifests, parse_manifests, read_manifests
from asya.api.yamltree import Document, read_documents
from asya.errors import ManifestError

SMALL = "apiVersion: asya.sh/v1alpha1\nkind: AsyncActor\nmetadata: {name: NAME}\nspec: {image: i, handler: h.f}\n"


def small(name: str) -> str:
    return SMALL.replace("NAME", name)


def test_a_folder_is_read_with_all_under_it_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "c.yml").write_text(f"{small('c')}---\n# nothing\n---\n{small('d')}")
    (tmp_path / "b" / "a.yaml").write_text(small("b"))
    (tmp_path / "a.json").write_text(json.dumps(yaml.safe_load(small("a")), indent="\t"))
    (tmp_path / ".git" / "x.yaml").write_text(small("hidden"))
    (tmp_path / "notes.txt").write_text("kind: AsyncActor")
    actors = load_manifests([tmp_path])
    assert [actor.name for actor in actors] == ["a", "c", "d", "b"]
    assert [(actor.source.file.name, actor.source.line) for actor in actors[1:3]] == [("c.yml", 1), ("c.yml", 8)]


def test_other_kinds_are_left_out_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(small("a"))
    (tmp_path / "kustomization.yaml").write_text("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n")
    (tmp_path / "data.json").write_text('[1, {"a": 1, "a": 2}]')
    found = read_manifests([tmp_path])
    assert [actor.name for actor in found.actors] == ["a"]
    assert found.problems == []
    assert found.notes == [
        f"{tmp_path}/data.json:1: left out, no Kubernetes object",
        f"{tmp_path}/kustomization.yaml:1: left out, kind Kustomization of kustomize.config.k8s.io/v1beta1",
    ]


def test_all_problems_of_all_files_come_in_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(small("A"))
    (tmp_path / "b.yaml").write_text("a: [")
    (tmp_path / "c.json").write_text('{"a": 1,}')
    (tmp_path / "d.yaml").write_bytes(b"a: \xff")
    (tmp_path / "e.yaml").write_text(small("e"))
    with pytest.raises(ManifestError) as error:
        load_manifests([tmp_path, tmp_path / "gone.yaml"])
    lines = [line.removeprefix(f"{tmp_path}/") for line in error.value.problems]
    assert lines == [
        'a.yaml:3: metadata.name: expected a DNS label (lower-case letters, digits and dashes), found "A"',
        "b.yaml:1: not YAML: while parsing a flow node, expected the node content, but found '<stream end>' (column 5)",
        "c.json:1: not JSON: Illegal trailing comma before end of object (column 8)"
        if "Illegal" in lines[2]
        else "c.json:1: not JSON: Expecting property name enclosed in double quotes (column 9)",
        "d.yaml:1: not UTF-8 (byte 3)",
        "gone.yaml:1: cannot be read: No such file or directory",
    ]


def test_documents_before_a_syntax_error_are_still_checked() -> None:
    found = parse_manifests(f"{small('A')}---\n]", file="f")
    assert [problem.line for problem in found.problems] == [3, 6]


def test_a_folder_without_actors_is_a_problem(tmp_path: Path) -> None:
    nothing = f"{tmp_path}: no file there ends in .yaml, .yml, .json, so no AsyncActor"
    assert [str(problem) for problem in read_manifests([tmp_path]).problems] == [nothing]
    (tmp_path / "other.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n")
    assert [str(problem) for problem in read_manifests([tmp_path]).problems] == [f"{tmp_path}: no AsyncActor in it"]


def test_the_same_actor_twice_in_a_namespace_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(small("one"))
    (tmp_path / "b.yaml").write_text(small("two").replace("{image", "{actor: one, image"))
    (tmp_path / "c.yaml").write_text(small("one").replace("name: one", "name: one, namespace: other"))
    assert [str(problem) for problem in read_manifests([tmp_path]).problems] == [
        f"{tmp_path}/b.yaml:1: spec.actor: actor 'one' is given twice; first at {tmp_path}/a.yaml:1"
    ]


def test_a_list_as_kubectl_writes_it_is_opened() -> None:
    good, bad = (yaml.safe_load(small(name)) for name in ("a", "B"))
    found = parse_manifests(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [good, bad]}), file="f")
    assert [actor.name for actor in found.actors] == ["a"]
    assert [problem.path for problem in found.problems] == ["items[1].metadata.name"]


def test_an_object_from_a_cluster_is_a_manifest_again() -> None:
    (actor,) = parse_manifests("""
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata:
  name: a
  uid: 0f3a
  generation: 3
  creationTimestamp: 2026-01-01T00:00:00Z
  managedFields: [{manager: kubectl}]
spec: {image: i, handler: h.f, crossplane: {compositionRef: {name: c}}}
status: {conditions: []}
""").actors
    assert actor == parse_manifests(small("a")).actors[0]


def test_anchors_and_merge_keys_work() -> None:
    (actor,) = parse_manifests("""
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata: {name: a}
spec:
  image: i
  handler: h.f
  resiliency:
    policies:
      default: &slow {maxAttempts: 5, initialInterval: 2s}
      gpu: {<<: *slow, maxAttempts: 2}
""").actors
    policies = actor.resiliency().policies
    assert (policies["gpu"].max_attempts, policies["gpu"].initial_delay) == (2, 2.0)


def test_scalars_are_read_as_kubernetes_reads_them() -> None:
    (actor,) = parse_manifests("""
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata: {name: a, annotations: {date: 2026-01-02, time: 12:30:45, quoted: "yes"}}
spec:
  image: i
  handler: h.f
  resources: {limits: {cpu: 2, memory: 1.5Gi, nvidia.com/gpu: "1"}}
""").actors
    assert actor.metadata.annotations == {"date": "2026-01-02", "time": "12:30:45", "quoted": "yes"}
    assert actor.spec.resources.limits == {"cpu": "2", "memory": "1.5Gi", "nvidia.com/gpu": "1"}
    (document,) = read_documents("[1, 0x10, 1.5, true, off, ~, 0o17]")
    assert isinstance(document, Document)
    assert document.value == [1, 16, 1.5, True, False, None, 15]


def test_what_deserves_a_second_look_is_noted() -> None:
    text = small("a").replace("handler: h.f", "handler: h.f, replicas: 2, terminationGracePeriodSeconds: 30")
    assert parse_manifests(text, file="f").notes == [
        "f:1: spec.replicas counts only while spec.scaling.enabled is false",
        "f:1: spec.terminationGracePeriodSeconds is 30 s, shorter than actorTimeout: long calls are cut and repeated",
    ]


def test_crew_may_carry_the_reserved_names() -> None:
    text = small("x-sink").replace("name: x-sink", 'name: x-sink, labels: {asya.sh/crew: "true"}')
    text = text.replace("handler: h.f", "handler: h.f, env: [{name: ASYA_SINK_HOOKS, value: a}]")
    assert parse_manifests(text).problems == []


def test_an_actor_made_in_python_keeps_the_rules() -> None:
    made = AsyncActor(metadata=Metadata(name="a"), spec=ActorSpec(image="i", handler="h.f"))
    assert made == parse_manifests(small("a")).actors[0]
    assert str(made.source.file) == "-"
    with pytest.raises(ValueError, match=r"spec\.handler: missing"):
        AsyncActor(metadata=Metadata(name="a"), spec=ActorSpec(image="i"))


def test_python_names_of_fields_are_no_spelling_of_a_manifest() -> None:
    (problem,) = parse_manifests(small("a").replace("image: i", "image: i, service_account_name: x")).problems
    assert problem.message == "unknown field; did you mean serviceAccountName?"


LABELS = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True).filter(
    lambda name: not name.endswith("-dlq") and not name.startswith("asya-")
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=20)
DURATIONS = st.sampled_from(["1ms", "1.5s", "30s", "5m", "1h30m"])
NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,10}", fullmatch=True).filter(lambda name: not name.startswith("ASYA_"))


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


POLICIES = some(
    maxAttempts=st.integers(1, 9),
    backoff=st.sampled_from(["constant", "linear", "exponential"]),
    initialDelay=st.sampled_from(["0s", "10ms", "1s"]),
    maxInterval=st.sampled_from(["1s", "90s", "2h"]),
    maxDuration=DURATIONS,
    jitter=st.booleans(),
    onExhausted=st.lists(LABELS, max_size=3),
)
SPECS = st.fixed_dictionaries(
    {"image": TEXTS, "handler": st.sampled_from(["h.f", "package.module.Class.method"])},
    optional={
        "actor": LABELS,
        "transport": st.sampled_from(["rabbitmq", "sqs", "pubsub"]),
        "args": st.lists(TEXTS, max_size=3),
        "env": st.lists(
            st.fixed_dictionaries({"name": NAMES, "value": st.text(max_size=20)}),
            max_size=4,
            unique_by=lambda entry: entry["name"],
        ),
        "resources": some(
            limits=st.dictionaries(st.sampled_from(["cpu", "memory"]), st.sampled_from(["1", "500m", "2Gi"]))
        ),
        "tolerations": st.lists(some(key=LABELS, effect=st.sampled_from(["NoSchedule", "NoExecute"])), max_size=2),
        "volumes": st.lists(
            st.fixed_dictionaries({"name": LABELS, "emptyDir": st.just({})}),
            max_size=3,
            unique_by=lambda entry: entry["name"],
        ),
        "securityContext": some(
            runAsUser=st.integers(0, 2**63 - 1),
            privileged=st.booleans(),
            capabilities=some(drop=st.lists(TEXTS, max_size=3)),
        ),
        "scaling": some(
            enabled=st.booleans(),
            minReplicaCount=st.integers(0, 5),
            maxReplicaCount=st.integers(5, 50),
            queueLength=st.integers(1, 100),
            cooldownPeriod=st.integers(0, 900),
        ),
        "resiliency": some(actorTimeout=DURATIONS, policies=st.dictionaries(LABELS, POLICIES, max_size=3)),
        "runtime": some(
            workers=st.integers(1, 8), batch=st.fixed_dictionaries({"size": st.integers(2, 64), "wait": DURATIONS})
        ),
        "queue": some(deliveryLimit=st.integers(1, 100), deletionPolicy=st.sampled_from(["Delete", "Retain"])),
    },
)
METADATA = st.fixed_dictionaries(
    {"name": LABELS},
    optional={
        "namespace": LABELS,
        "labels": st.dictionaries(LABELS, LABELS, max_size=3),
        "annotations": st.dictionaries(LABELS, TEXTS),
    },
)


@settings(max_examples=60)
@given(metadata=METADATA, spec=SPECS, as_json=st.booleans())
def test_a_good_manifest_comes_back_as_it_was(metadata: dict[str, Any], spec: dict[str, Any], as_json: bool) -> None:
    document = {"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": metadata, "spec": spec}

    def text(value: dict[str, Any]) -> str:
        return json.dumps(value) if as_json else yaml.safe_dump(value, allow_unicode=True)

    first = parse_manifests(text(document), is_json=as_json)
    assert first.problems == []
    assert first.actors[0].manifest() == document
    again = parse_manifests(text(first.actors[0].manifest()), is_json=as_json)
    assert again.actors == first.actors
