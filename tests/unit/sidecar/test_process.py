"""The sidecar as a process: wrong settings, probes, signals, and the runtime it brings along."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.support.mesh import environment, sqlite

from asya.settings import load
from asya.transports import QueueSpec, open_transport
from asya.transports.settings import TransportSettings


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "asya_sidecar", *arguments],
        env=environment(environ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_wrong_settings_are_named_all_at_once() -> None:
    done = run(ASYA_TRANSPORT="kafka", ASYA_CONCURRENCY="none")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert all(line.startswith("asya-sidecar: ASYA_") for line in lines), done.stderr
    assert {line.split()[1] for line in lines} == {
        "ASYA_TRANSPORT",
        "ASYA_CONCURRENCY",
        "ASYA_ACTOR_NAME",
        "ASYA_NAMESPACE",
    }


def test_sqlite_without_a_path_is_named() -> None:
    done = run(ASYA_TRANSPORT="sqlite", ASYA_ACTOR_NAME="a", ASYA_NAMESPACE="d", ASYA_SOCKET_DIR="/tmp")
    assert done.returncode == 2
    assert "ASYA_SQLITE_PATH is not set" in done.stderr


def test_a_socket_folder_that_is_too_deep_is_named(tmp_path: Path) -> None:
    done = run(ASYA_ACTOR_NAME="a", ASYA_SOCKET_DIR=str(tmp_path / ("x" * 120)), **sqlite(tmp_path / "queue.db"))
    assert done.returncode == 2
    assert "ASYA_SOCKET_DIR" in done.stderr


def test_install_copies_the_runtime(tmp_path: Path) -> None:
    assert run("install", str(tmp_path / "opt")).returncode == 0
    text = (tmp_path / "opt" / "asya_runtime.py").read_text()
    compile(text, "asya_runtime.py", "exec")
    assert "ASYA_HANDLER" in text


def test_a_native_sidecar_installs_the_runtime_and_goes_on_to_serve(tmp_path: Path) -> None:
    done = run("serve", "--install", str(tmp_path / "opt"))
    assert (tmp_path / "opt" / "asya_runtime.py").stat().st_size > 10_000
    assert [file.name for file in (tmp_path / "opt").iterdir()] == ["asya_runtime.py"]
    assert done.returncode == 2
    assert "ASYA_ACTOR_NAME is not set" in done.stderr, "it read its settings next"


def test_a_folder_that_cannot_be_written_ends_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("serve", "--install", str(tmp_path / "file"))
    assert done.returncode == 1
    assert "cannot install into" in done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The file that a kubelet makes for each container."""
    found = tmp_path / "termination-log"
    found.touch()
    return found


def test_a_pod_is_left_the_reason(tmp_path: Path, place: Path) -> None:
    assert run(ASYA_TERMINATION_LOG=str(place), ASYA_TRANSPORT="kafka").returncode == 2
    assert {line.split()[0] for line in place.read_text().splitlines()} == {
        "ASYA_TRANSPORT",
        "ASYA_ACTOR_NAME",
        "ASYA_NAMESPACE",
    }
    (tmp_path / "file").touch()
    assert run("serve", "--install", str(tmp_path / "file"), ASYA_TERMINATION_LOG=str(place)).returncode == 1
    assert place.read_text().startswith("cannot install into ")


def test_no_pod_no_file(tmp_path: Path) -> None:
    assert run(ASYA_TERMINATION_LOG=str(tmp_path / "none")).returncode == 2
    assert not (tmp_path / "none").exists()


def test_a_start_that_is_refused_is_left_without_its_secret(tmp_path: Path, place: Path) -> None:
    # No database can be made inside a file.
    (tmp_path / "pa55-w0rd").touch()
    settings = sqlite(tmp_path / "pa55-w0rd" / "queue.db")
    more = {"ASYA_ACTOR_NAME": "a", "ASYA_SOCKET_DIR": str(tmp_path), "ASYA_GATEWAY_TOKEN": "pa55-w0rd"}
    done = run(**settings, **more, ASYA_TERMINATION_LOG=str(place))
    assert done.returncode == 1
    said = place.read_text()
    assert said.startswith("cannot start: ")
    assert "pa55-w0rd" not in said
    assert "***" in said


def test_unknown_arguments_show_the_usage() -> None:
    assert run("serve").returncode == 2
    assert run("serve", "--install").returncode == 2
    assert run("--help").returncode == 0


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


async def test_probes_tell_what_is_missing_and_sigterm_ends_cleanly(tmp_path: Path, port: int) -> None:
    settings = sqlite(tmp_path / "queue.db")
    transport = open_transport(load(TransportSettings, settings))
    await transport.open()
    env = environment(
        settings,
        {"ASYA_ACTOR_NAME": "a", "ASYA_SOCKET_DIR": str(tmp_path), "ASYA_HEALTH_ADDR": f"127.0.0.1:{port}"},
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "asya_sidecar", env=env, stderr=asyncio.subprocess.PIPE
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        async with asyncio.timeout(20):
            while True:
                try:
                    ready = await client.get("/readyz")
                    if any("queue" in problem for problem in ready.json()["problems"]):
                        break  # the queue does not exist yet, and by now the sidecar has asked for it
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.02)
            assert ready.status_code == 503
            assert ready.json()["awaiting"] == "no runtime has connected"
            assert ready.json()["awaiting"] in ready.json()["problems"]
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/metrics")).status_code == 404
            assert (await client.get("/runtime/readyz")).json()["problems"] == ["no runtime has connected"]
            assert (await client.get("/runtime/livez")).status_code == 200, "what has not begun is not dead"

            await transport.declare([QueueSpec("a")])
            runtime = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                "import runpy, asya_runtime; runpy.run_path(asya_runtime.__file__, run_name='__main__')",
                env=environment({"ASYA_HANDLER": "json.dumps", "ASYA_SOCKET_DIR": str(tmp_path)}),
            )
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
            for probe in ("readyz", "livez"):
                assert (await client.get(f"/runtime/{probe}")).status_code == 200
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        _, stderr = await process.communicate()
        assert process.returncode == 0
        assert await runtime.wait() == 0, "DONE stops the runtime too"
    lines = [json.loads(line) for line in stderr.decode().splitlines()]
    assert {line["actor"] for line in lines} == {"a"}
    await transport.close()


async def test_the_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    env = environment(sqlite(tmp_path / "queue.db"), {"ASYA_ACTOR_NAME": "a", "ASYA_SOCKET_DIR": str(tmp_path)})
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "asya_sidecar", env=env)
    path = tmp_path / "asya.sock"
    async with asyncio.timeout(20):
        while not path.exists():
            await asyncio.sleep(0.01)
        assert path.stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert not path.exists()
