"""When a cluster is meant, and when an `asya up`."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asya.cli.main import main

LOCAL, CLUSTER = "no `asya up` is running", "does not answer"
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: here, context: {cluster: c, user: u, namespace: shop}}, {name: other, context: {cluster: c, user: u}}]
current-context: here
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("ASYA_STATE", raising=False)
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    return tmp_path


def run(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, list(words), env=environment)


def with_state(folder: Path) -> None:
    (folder / ".asya").mkdir()
    (folder / ".asya" / "lock").write_text("1234567890\n")


@pytest.mark.parametrize("command", [["ps"], ["send", "a", "1"]])
def test_with_nothing_named_it_is_a_cluster_only_where_no_asya_up_has_been(folder: Path, command: list[str]) -> None:
    assert LOCAL in run(*command).stderr
    assert CLUSTER in run(*command, KUBECONFIG="kubeconfig").stderr
    with_state(folder)
    assert LOCAL in run(*command, KUBECONFIG="kubeconfig").stderr


@pytest.mark.parametrize("flags", [["-n", "x"], ["--context", "other"], ["--kubeconfig", "kubeconfig"]])
def test_one_flag_means_a_cluster_whatever_is_here(folder: Path, flags: list[str]) -> None:
    with_state(folder)
    asked = run("ps", *flags, KUBECONFIG="kubeconfig", ASYA_STATE=".asya")
    assert (asked.exit_code, CLUSTER in asked.stderr) == (1, True), asked.stderr
    assert f"context {'other' if 'other' in flags else 'here'}" in asked.stderr


@pytest.mark.parametrize("environment", [{}, {"ASYA_STATE": "elsewhere"}])
def test_a_named_state_folder_means_an_asya_up(folder: Path, environment: dict[str, str]) -> None:
    words = ["ps"] if environment else ["ps", "--state", "elsewhere"]
    assert "no `asya up` is running on elsewhere" in run(*words, KUBECONFIG="kubeconfig", **environment).stderr


def test_both_named_is_wrong_usage(folder: Path) -> None:
    asked = run("ps", "--state", ".asya", "-n", "x")
    assert (asked.exit_code, "--state is an `asya up` on this machine, --namespace a cluster" in asked.stderr) == (
        2,
        True,
    )


def test_the_default_kubeconfig_counts_too(folder: Path) -> None:
    (folder / "home" / ".kube").mkdir(parents=True)
    (folder / "kubeconfig").rename(folder / "home" / ".kube" / "config")
    assert CLUSTER in run("ps").stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["send", "a", "1", "--wait"], "--wait"),
        (["send", "a", "1", "--wait-all"], "--wait-all"),
        (["send", "a", "1", "--stream"], "--stream"),
        (["trace", "t"], "`asya trace`"),
        (["cancel", "t"], "`asya cancel`"),
    ],
)
def test_what_needs_the_gateway_is_wrong_usage_and_asks_nobody(folder: Path, words: list[str], what: str) -> None:
    asked = run(*words, "-n", "shop", KUBECONFIG="kubeconfig")
    assert (asked.exit_code, f"{what} needs the gateway" in asked.stderr) == (2, True), asked.stderr


def test_a_context_is_chosen_where_none_is_current_and_of_several_files(folder: Path) -> None:
    none_current = KUBECONFIG.replace("current-context: here", "").replace("name: here", "name: elsewhere")
    (folder / "second").write_text(none_current)
    assert "no current context; choose one with --context: elsewhere, other" in run("ps", KUBECONFIG="second").stderr
    assert "context elsewhere: " in run("ps", "--context", "elsewhere", KUBECONFIG="second").stderr
    both = "nowhere:second:kubeconfig"
    assert "context here: " in run("ps", KUBECONFIG=both).stderr
    assert "it has: elsewhere, other, here" in run("ps", "--context", "x", KUBECONFIG=both).stderr


def test_a_missing_client_library_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    asked = run("ps", KUBECONFIG="kubeconfig")
    assert (asked.exit_code, "pip install 'asya[cluster]'" in asked.stderr) == (1, True), asked.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kubeconfig", "nowhere"], "there is no kubeconfig at nowhere"),
        (["--context", "othr"], "has no context 'othr'; it has: here, other"),
        (["--kubeconfig", "broken"], "the kubeconfig broken cannot be used"),
    ],
)
def test_a_wrong_kubeconfig_is_told(folder: Path, words: list[str], said: str) -> None:
    (folder / "broken").write_text("[")
    environment = {} if "--kubeconfig" in words else {"KUBECONFIG": "kubeconfig"}
    asked = run("ps", *words, **environment)
    assert (asked.exit_code, said in asked.stderr) == (1, True), asked.stderr
