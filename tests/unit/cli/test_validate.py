"""`asya validate` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from asya.cli.validate import command

GOOD = "apiVersion: asya.sh/v1alpha1\nkind: AsyncActor\nmetadata: {name: greeter}\nspec: {image: i, handler: h.f}\n"
BAD = GOOD.replace("greeter", "Greeter").replace("handler: h.f", "handler: h.f, scaling: {minReplicas: 1}")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(GOOD)
    Path("bad.yaml").write_text(BAD)
    Path("other.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n")
    return CliRunner()


def test_good_manifests_end_with_0_and_a_summary(run: CliRunner) -> None:
    result = run.invoke(command, ["good.yaml", "other.yaml"])
    assert result.exit_code == 0
    assert result.stdout == "1 actor in 2 files, no problem: greeter\n"
    assert result.stderr == "note: other.yaml:1: left out, kind ConfigMap of v1\n"


def test_problems_end_with_1_and_a_line_each(run: CliRunner) -> None:
    result = run.invoke(command, ["bad.yaml", "good.yaml"])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        'bad.yaml:3: metadata.name: expected a DNS label (lower-case letters, digits and dashes), found "Greeter"',
        "bad.yaml:4: spec.scaling.minReplicas: unknown field; it is called minReplicaCount here",
        "2 problems in 2 files",
    ]


def test_json_holds_the_same_in_parts(run: CliRunner) -> None:
    result = run.invoke(command, ["bad.yaml", "good.yaml", "-o", "json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["valid"], found["files"]) == (False, 2)
    assert found["actors"] == [{"name": "greeter", "namespace": None, "file": "good.yaml", "line": 1}]
    assert found["problems"][0] == {
        "file": "bad.yaml",
        "line": 3,
        "path": "metadata.name",
        "message": 'expected a DNS label (lower-case letters, digits and dashes), found "Greeter"',
        "expected": "a DNS label (lower-case letters, digits and dashes)",
        "found": '"Greeter"',
    }
    assert len(found["problems"]) == 2


def test_standard_input_is_read(run: CliRunner) -> None:
    assert run.invoke(command, ["-"], input=GOOD).exit_code == 0
    result = run.invoke(command, ["-"], input=BAD)
    assert result.exit_code == 1
    assert result.stdout.startswith("-:3: metadata.name: ")


@pytest.mark.parametrize("words", [["-", "good.yaml"], ["good.yaml", "-o", "yaml"]])
def test_wrong_usage_ends_with_2(run: CliRunner, words: list[str]) -> None:
    assert run.invoke(command, words).exit_code == 2


def test_a_missing_file_and_an_empty_folder_are_problems(run: CliRunner) -> None:
    Path("empty").mkdir()
    assert (
        run.invoke(command, ["gone.yaml"]).stdout
        == "gone.yaml:1: cannot be read: No such file or directory\n1 problem in 1 file\n"
    )
    assert run.invoke(command, ["empty"]).stdout == (
        "empty: no file there ends in .yaml, .yml, .json, so no AsyncActor\n"
    )


def test_the_manifest_in_the_help_is_a_good_one(run: CliRunner) -> None:
    text = run.invoke(command, ["--help"]).stdout
    start = text.index("apiVersion:")
    lines = text[start : text.index("\n\n", start)].splitlines()
    manifest = "\n".join(line[4:] if line.startswith("    ") else line for line in lines)
    result = run.invoke(command, ["-"], input=manifest)
    assert (result.exit_code, result.stdout) == (0, "1 actor in 1 file, no problem: greeter\n")
