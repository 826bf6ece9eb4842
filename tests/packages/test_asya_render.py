"""`asya render` as it is typed, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.compose.calls import ROOT, actor, call

from asya.cli import render_composer
from asya.cli.render import command
from asya_composer.offline import KEY

EXAMPLES = ROOT / "crossplane" / "examples"
COMPOSITION = str(ROOT / "compositions" / "asyncactors.yaml")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASYA_COMPOSITION", raising=False)
    Path("actor.yaml").write_text(yaml.safe_dump(actor()))
    return CliRunner()


def test_what_is_composed_at_first_is_printed(run: CliRunner) -> None:
    result = run.invoke(command, ["actor.yaml", "--composition", COMPOSITION])
    assert result.exit_code == 0
    assert result.stderr == ""
    found = {each["metadata"]["annotations"].pop(KEY): each for each in yaml.safe_load_all(result.stdout)}
    wanted = call(actor()).resources
    later = {f"rabbitmq-{key}" for key in ("binding", "dead-letter-binding", "delay-binding", "scaled-object")}
    assert set(found) == set(wanted) | later, "and what waits for queues and rights, as people want to see it too"
    for key, each in wanted.items():
        each["metadata"].setdefault("annotations", {})
        assert found[key] == each


def test_the_composition_beside_the_manifest_is_taken(run: CliRunner) -> None:
    result = run.invoke(command, [str(EXAMPLES / "sqs" / "minimal.yaml"), "-o", "json"])
    assert result.exit_code == 0
    (only,) = json.loads(result.stdout)
    assert (only["namespace"], only["name"], only["refused"]) == ("shop", "resize", None)
    assert only["resources"]["sqs-queue"]["kind"] == "Queue"
    assert {each["type"] for each in only["conditions"]} >= {"QueueReady", "WorkloadReady"}


def test_without_a_composition_it_is_asked_for(run: CliRunner) -> None:
    result = run.invoke(command, ["actor.yaml"])
    assert result.exit_code == 1
    assert "there is no composition.yaml: name the platform's Composition with --composition FILE" in result.stderr


def test_a_composition_of_something_else_is_refused(run: CliRunner) -> None:
    Path("other.yaml").write_text("kind: Composition\nspec: {pipeline: [{step: a, input: {kind: Input}}]}\n")
    result = run.invoke(command, ["actor.yaml", "--composition", "other.yaml"])
    assert result.exit_code == 1
    assert "no step of spec.pipeline has an input of composer.asya.sh/v1alpha1" in result.stderr


def test_a_missing_flavor_is_told_and_a_given_one_is_used(run: CliRunner) -> None:
    example = str(EXAMPLES / "rabbitmq" / "full.yaml")
    result = run.invoke(command, [example])
    assert result.exit_code == 1
    assert "refused: shop/caption: spec.flavors: there is no EnvironmentConfig" in result.stderr
    result = run.invoke(command, [example, "--with", str(EXAMPLES / "required.yaml")])
    assert result.stderr == ""
    (deployment,) = [each for each in yaml.safe_load_all(result.stdout) if each["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["runtimeClassName"] == "nvidia"


def test_standard_input_and_a_namespace(run: CliRunner) -> None:
    manifest = actor()
    del manifest["metadata"]["namespace"]
    given = ["-", "-n", "bakery", "--composition", COMPOSITION]
    result = run.invoke(command, given, input=yaml.safe_dump(manifest))
    assert {each["metadata"]["namespace"] for each in yaml.safe_load_all(result.stdout)} == {"bakery"}


def test_a_wrong_manifest_is_not_rendered(run: CliRunner) -> None:
    Path("actor.yaml").write_text(yaml.safe_dump(actor(scaling={"minReplicaCount": 5, "maxReplicaCount": 2})))
    result = run.invoke(command, ["actor.yaml", "--composition", COMPOSITION])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "minReplicaCount" in result.stderr


def test_what_only_the_function_refuses_ends_with_1(run: CliRunner) -> None:
    Path("actor.yaml").write_text(yaml.safe_dump(actor(transport="sqs")))
    result = run.invoke(command, ["actor.yaml", "--composition", COMPOSITION])
    assert result.exit_code == 1
    assert "refused: shop/resize: " in result.stderr
    assert "sqs" in result.stderr


def test_without_the_function_it_is_said_what_to_install(run: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(render_composer.importlib, "import_module", missing)
    result = run.invoke(command, ["actor.yaml", "--composition", COMPOSITION])
    assert result.exit_code == 1
    assert "pip install 'asya[render]'" in result.stderr


@pytest.mark.parametrize("more", [["-o", "json"], ["--with", COMPOSITION]])
def test_a_diff_is_text_of_a_cluster(run: CliRunner, more: list[str]) -> None:
    result = run.invoke(command, ["actor.yaml", "--diff", *more])
    assert result.exit_code == 2
