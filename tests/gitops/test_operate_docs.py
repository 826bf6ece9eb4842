"""The commands on the pages for operators: their options, files, folders and values exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from check_docs import commands
from pages import read
from tests.charts.binaries import ROOT, needed
from tests.gitops.building import build

PAGES = [*sorted((ROOT / "docs" / "operate").glob("*.md")), ROOT / "docs" / "start" / "kind.md"]
_OPTION = re.compile(r"(?<![\w-])(--?[a-zA-Z][\w-]*)")


def _commands(program: str) -> list[tuple[str, list[str]]]:
    found = []
    for page in PAGES:
        for block in read(page).blocks:
            for line, command in commands(block):
                if command.startswith(f"{program} "):
                    words = shlex.split(command.partition(" <<")[0], comments=True)
                    found.append((f"{page.name}:{line}", words[1:]))
    return found


@cache
def _known(program: str, *verbs: str) -> frozenset[str]:
    texts = [[needed(program), *verbs, "--help"], *([[needed(program), "options"]] if program == "kubectl" else [])]
    answers = [subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout for words in texts]
    return frozenset(_OPTION.findall("\n".join(answers)))


def _verbs(words: list[str]) -> list[str]:
    """Return the verb, with the words that belong to it where its help has pages of its own."""
    several = {
        ("create", "secret"): 3,
        ("create", "namespace"): 2,
        ("create", "configmap"): 2,
        ("create", "role"): 2,
        ("create", "rolebinding"): 2,
        ("rollout", "status"): 2,
    }
    return words[: several.get(tuple(words[:2]), 1)]


CASES = [(program, where, words) for program in ("kubectl", "helm") for where, words in _commands(program)]


@pytest.mark.parametrize(
    ("program", "where", "words"), CASES, ids=[f"{each[1]} {each[0]} {each[2][0]}" for each in CASES]
)
def test_options_exist(program: str, where: str, words: list[str]) -> None:
    verbs = _verbs(words)
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert used <= _known(program, *verbs), f"{where}: {used - _known(program, *verbs)}"


@pytest.mark.parametrize(
    ("program", "where", "words"), CASES, ids=[f"{each[1]} {each[0]} {each[2][0]}" for each in CASES]
)
def test_files_folders_and_values_exist(program: str, where: str, words: list[str]) -> None:
    for option, value in pairwise(words):
        if option in {"--kustomize", "kustomize"}:
            assert build(value.removeprefix("gitops/")), where
        if option in {"--values", "--filename"} and "/" in value and not value.startswith("https://"):
            assert (ROOT / value).is_file(), where
        if option == "--set" and "asya" in words:
            path = value.partition("=")[0].split(".")
            assert path[0] in {"asya-operator", "asya-crossplane", "asya-crew"}, where
            values = yaml.safe_load((ROOT / "charts" / path[0] / "values.yaml").read_text())
            for name in path[1:]:
                assert name in values, where
                values = values[name]
    charts = [Path(word) for word in words if word.startswith("charts/") and not word.endswith(".yaml")]
    assert all((ROOT / chart / "Chart.yaml").is_file() for chart in charts), where


def test_there_are_commands_to_look_at() -> None:
    assert len([each for each in CASES if each[0] == "kubectl"]) > 15
    assert len([each for each in CASES if each[0] == "helm"]) > 5


def test_folders_named_in_the_text_exist() -> None:
    named = {path for page in PAGES for path in re.findall(r"`(gitops/[\w/-]+)`", page.read_text())}
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_resources_on_the_page_of_sizes_are_the_charts() -> None:
    text = (ROOT / "docs/operate/sizing.md").read_text()
    for chart, at, name in (("asya-crossplane", "function", "function-asya"), ("asya-operator", "", "asya-operator")):
        values = yaml.safe_load((ROOT / "charts" / chart / "values.yaml").read_text())
        resources = (values[at] if at else values)["resources"]
        requests = f"{resources['requests']['cpu']}, {_spaced(resources['requests']['memory'])}"
        assert f"| {name} | {requests} | {_spaced(resources['limits']['memory'])} |" in text


def _spaced(memory: str) -> str:
    return memory.replace("Mi", " Mi")
