"""Options, input and errors of the commands, without a mesh."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from asya.cli.main import main


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


def test_every_command_has_help_that_names_its_exit_codes() -> None:
    context = click.Context(main)
    names = main.list_commands(context)
    assert {"up", "send", "ps", "trace", "cancel", "validate"} <= set(names)
    for name in names:
        shown = run(name, "--help")
        assert shown.exit_code == 0
        assert "Exit status" in shown.output, name
        command = main.get_command(context, name)
        assert command is not None
        below = command.commands.values() if isinstance(command, click.Group) else [command]
        for each in below:
            assert "-o" in {option for parameter in each.params for option in parameter.opts}, each.name


def test_every_command_of_a_group_has_help_that_names_its_exit_codes() -> None:
    for name in ("list", "show", "redrive", "drop"):
        shown = run("dlq", name, "--help")
        assert (shown.exit_code, "Exit status" in shown.output) == (0, True), name


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from asya.cli.main import main; main(['--help'], standalone_mode=False); "
        "print(sorted({'pydantic', 'httpx', 'rich', 'starlette', 'msgspec', 'asyncio'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [["ps"], ["send", "a", "1"], ["trace", "t"], ["cancel", "t"]])
def test_without_a_mesh_each_command_says_how_to_start_one(tmp_path: Path, command: list[str]) -> None:
    asked = run(*command, "--state", str(tmp_path))
    assert (asked.exit_code, asked.stdout) == (1, "")
    assert "start one with `asya up DIR`, or give its --state" in asked.stderr
    as_json = run(*command, "--state", str(tmp_path), "-o", "json")
    assert set(json.loads(as_json.stderr)["error"]) == {"code", "message"}


def test_an_address_nobody_answers_at_is_no_mesh(tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text('{"url": "http://127.0.0.1:1", "token": "t"}')
    asked = run("ps", "--state", str(tmp_path))
    assert (asked.exit_code, "no `asya up` is running" in asked.stderr) == (1, True)


def test_an_asya_up_that_does_not_get_ready_is_waited_for_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asya.cli.client._START_SECONDS", 0.2)
    (tmp_path / "lock").write_text(f"{os.getpid()}\n")
    asked = run("ps", "--state", str(tmp_path))
    assert (asked.exit_code, f"(pid {os.getpid()}) is not ready" in asked.stderr) == (1, True), asked.stderr


def test_a_dead_asya_up_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asya.cli.client._START_SECONDS", 600)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    (tmp_path / "lock").write_text(f"{ended.pid}\n")
    assert "no `asya up` is running" in run("ps", "--state", str(tmp_path)).stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        (["send", "a"], "", 2, "give one of PAYLOAD, --payload and --many"),
        (["send", "a", "1", "--many", "f"], "", 2, "give one of"),
        (["send", "a", "--many", "-", "--id", "x"], "1", 2, "for one message"),
        (["send", "a", "hello"], "", 1, "text needs quotes"),
        (["send", "a", "-"], "{", 1, "standard input is not JSON"),
        (["send", "a", "@no-such-file"], "", 1, "no-such-file cannot be read"),
        (["send", "a", "--many", "-"], "1\n{\n", 1, "-:2 is not JSON"),
        (["send", "a", "--many", "-"], "\n", 1, "no line with a payload"),
        (["send", "a", "1", "--timeout", "5"], "", 2, "not a duration"),
        (["send", "a", "1", "--header", "k"], "", 2, "not NAME=VALUE"),
        (["up", "/no/such/folder"], "", 2, "does not exist"),
        (["up", ".", "--rabbitmq-url", "amqp://h/"], "", 2, "--rabbitmq-url needs --transport rabbitmq"),
        (["up", ".", "--namespace", "Foo_"], "", 2, "'Foo_' is not a DNS label"),
        (["up", ".", "--namespace", "n" * 64], "", 2, "is not a DNS label"),
    ],
)
def test_wrong_input_is_told_before_anything_is_asked(arguments: list[str], stdin: str, code: int, said: str) -> None:
    asked = run(*arguments, stdin=stdin)
    assert (asked.exit_code, said in asked.stderr) == (code, True), asked.stderr


def test_a_folder_without_manifests_is_told(tmp_path: Path) -> None:
    asked = run("up", str(tmp_path), "--state", str(tmp_path / "state"))
    assert (asked.exit_code, "so no AsyncActor" in asked.stderr) == (1, True), asked.stderr
    assert not (tmp_path / "state").exists()


def test_a_wrong_value_of_a_variable_is_blamed_on_the_variable() -> None:
    asked = CliRunner().invoke(main, ["up", "."], env={"ASYA_TRANSPORT": "kafka"})
    assert (asked.exit_code, "ASYA_TRANSPORT" in asked.stderr, "kafka" in asked.stderr) == (2, True, True)
