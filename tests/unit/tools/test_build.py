"""A tool built by a real Go toolchain, from a module proxy that is a folder."""

import base64
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import go_tools_go
import pytest
from go_tools import build_all
from go_tools_build import Cache, build, cache
from go_tools_go import Go, Progress, ToolError, explain, toolchain
from go_tools_plan import Module, Tool

PATH, VERSION = "example.org/greeter", "v1.2.3"
SOURCE = {
    "go.mod": f"module {PATH}\n\ngo 1.21\n",
    "cmd/greet/main.go": 'package main\n\nvar version = "none"\n\nfunc main() { println("greet", version) }\n',
}


def published(proxy: Path, files: dict[str, str]) -> str:
    """Put a module into a proxy and return its hash, computed as the go.sum format says (dirhash 1)."""
    folder = proxy / PATH / "@v"
    folder.mkdir(parents=True)
    (folder / f"{VERSION}.info").write_text(json.dumps({"Version": VERSION}))
    (folder / f"{VERSION}.mod").write_text(files["go.mod"])
    entries = {f"{PATH}@{VERSION}/{name}": text for name, text in files.items()}
    with zipfile.ZipFile(folder / f"{VERSION}.zip", "w") as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in sorted(entries.items())]
    return "h1:" + base64.b64encode(hashlib.sha256("".join(lines).encode()).digest()).decode()


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    try:
        found = toolchain(jobs=1)
    except ToolError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    for name, value in {
        "GOPROXY": (tmp_path / "proxy").as_uri(),
        "GOSUMDB": "off",
        "GOTOOLCHAIN": "local",
        "GOMODCACHE": str(tmp_path / "modules"),
        "GOFLAGS": "-modcacherw",
    }.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    module = Module("greeter", PATH, VERSION, published(tmp_path / "proxy", SOURCE))
    return Tool("greet", "render", (module,), "cmd/greet", "", "greet", (f"main.version={VERSION}",))


def ignored(progress: Progress) -> None:
    del progress


def test_a_tool_is_built_once_with_its_version(go: Go, tool: Tool, tmp_path: Path) -> None:
    where, told = Cache(tmp_path / "tools"), list[Progress]()
    program = build(tool, go, where, told.append)
    said = subprocess.run([program], capture_output=True, text=True, check=True).stderr
    assert said == f"greet {VERSION}\n"
    assert [told[0].doing, told[-1].doing] == [f"fetching {PATH}", "compiling"]
    assert told[-1].of > 1
    assert {path.name for path in (tmp_path / "tools").iterdir()} == {program.parent.name, ".greet.lock"}
    told.clear()
    assert build(tool, Go("/nonexistent/go"), where, told.append) == program
    assert told == []


def test_a_module_with_another_hash_is_refused(go: Go, tmp_path: Path) -> None:
    published(tmp_path / "proxy", SOURCE)
    module = Module("greeter", PATH, VERSION, "h1:AAAA=")
    other = Tool("greet", "render", (module,), "cmd/greet", "", "greet", ())
    with pytest.raises(ToolError, match=rf"{PATH}@{VERSION} has the hash h1:.*, but versions.toml pins h1:AAAA="):
        build(other, go, Cache(tmp_path / "tools"), ignored)
    assert not list((tmp_path / "tools").glob("greet-*"))


def test_a_module_that_cannot_be_fetched_is_named_with_a_way_out(go: Go, tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "proxy" / PATH / "@v" / f"{VERSION}.zip").unlink()
    with pytest.raises(ToolError, match=rf"the module {PATH}@{VERSION} cannot be fetched. Point GOPROXY"):
        build(tool, go, Cache(tmp_path / "tools"), ignored)


def test_what_does_not_compile_says_so_and_leaves_no_program(go: Go, tmp_path: Path) -> None:
    digest = published(
        tmp_path / "proxy", {**SOURCE, "cmd/greet/main.go": "package main\n\nfunc main() { missing() }\n"}
    )
    broken = Tool("greet", "render", (Module("greeter", PATH, VERSION, digest),), "cmd/greet", "", "greet", ())
    where = Cache(tmp_path / "tools")
    with pytest.raises(ToolError, match="undefined: missing"):
        build(broken, go, where, ignored)
    assert not where.place(broken).parent.exists()


def test_a_tool_that_fails_does_not_keep_the_others_from_being_built(
    go: Go, tool: Tool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = dataclasses.replace(tool, name="wrong", modules=(dataclasses.replace(tool.modules[0], sum="h1:AAAA="),))
    where = Cache(tmp_path / "tools")
    assert build_all([wrong, tool], where, jobs=1) == 1
    assert where.place(tool).exists()
    said = capsys.readouterr().err
    assert f"[2/2] greet {VERSION}  built" in said
    assert "wrong: example.org/greeter@v1.2.3 has the hash" in said
    assert said.endswith("not built: wrong; what was built is kept\n")
    assert build_all([tool], where, jobs=1) == 0


def test_what_a_killed_build_left_is_no_hindrance(go: Go, tool: Tool, tmp_path: Path) -> None:
    left = tmp_path / "tools" / f".building-greet.{os.getpid()}" / "wrapper"
    another = tmp_path / "tools" / ".building-greet-more.1"
    another.mkdir(parents=True)
    left.mkdir(parents=True)
    (left / "go.mod").write_text("half of a")
    assert build(tool, go, Cache(tmp_path / "tools"), ignored).exists()
    assert not left.exists()
    assert another.exists()


def test_a_second_process_waits_for_the_first_and_does_not_build(tool: Tool, tmp_path: Path) -> None:
    where, waits = Cache(tmp_path / "tools"), threading.Event()
    place = where.place(tool)
    told: list[str] = []

    def report(progress: Progress) -> None:
        told.append(progress.doing)
        waits.set()

    second = threading.Thread(target=lambda: build(tool, Go("/nonexistent/go"), where, report))
    with where.locked(tool, ignored):
        second.start()
        assert waits.wait(10)
        place.parent.mkdir()
        place.touch()
    second.join(10)
    assert not second.is_alive()
    assert told == ["waiting for another process that builds it"]


@pytest.mark.parametrize(
    ("said", "module"),
    [
        ("go: a.io/b@v1.2.3: reading x: 403 Forbidden\n\tserver response: none", "a.io/b@v1.2.3"),
        (
            "go: downloading a.io/x v1\na.io/b@v1.2.3: Get x: dial tcp 127.0.0.1:9: connect: connection refused",
            "a.io/b@v1.2.3",
        ),
        ("a.io/b@v1.2.3: module lookup disabled by GOPROXY=off", "a.io/b@v1.2.3"),
        ("go: a.io/b@v0.0.0: invalid version: unknown revision v0.0.0", "a.io/b@v0.0.0"),
    ],
)
def test_the_module_that_is_missing_is_found_in_what_go_says(said: str, module: str) -> None:
    assert explain(said).startswith(f"the module {module} cannot be fetched")


def test_other_complaints_are_shown_as_they_are() -> None:
    assert explain("go: downloading a.io/x v1\nmain.go:3: undefined: y") == "main.go:3: undefined: y"


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"ASYA_TOOLS_CACHE": "/here", "XDG_CACHE_HOME": "/there"}, "/here"),
        ({"XDG_CACHE_HOME": "/there"}, "/there/asya/tools"),
    ],
)
def test_the_cache_is_where_the_environment_says(environ: dict[str, str], root: str) -> None:
    assert cache(environ).root == Path(root)


def test_a_machine_without_go_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(go_tools_go, "TOOLCHAIN", tmp_path)
    with pytest.raises(ToolError, match=r"no Go toolchain; `python3 tools/environment\.py go` brings one"):
        toolchain()


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    script = Path(__file__).resolve().parents[3] / "tools" / "go_tools.py"

    def run(*words: str, path: str = "") -> subprocess.CompletedProcess[str]:
        environ = {"ASYA_TOOLS_CACHE": str(tmp_path), "PATH": path, "HOME": str(tmp_path)}
        return subprocess.run(
            [sys.executable, script, *words], env=environ, capture_output=True, text=True, check=False, timeout=30
        )

    return run


def test_path_of_what_is_not_built_fails_and_says_how_to_build_it(
    command: Command,
) -> None:
    done = command("path", "kubelet")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"kubelet v[\d.]+ is not built; `make tools TOOLS=kubelet` builds it\n", done.stderr)


def test_path_of_an_unknown_tool_fails(command: Command) -> None:
    done = command("path", "kubelets")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no tool is named 'kubelets'" in done.stderr
