"""`asya up` as a process of its own, as a user starts it, with the API behind a client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
_PAUSE = 0.05
START_SECONDS, STOP_SECONDS = 30.0, 30.0


def asya() -> str:
    """The command as it is installed."""
    return str(Path(sys.executable).with_name("asya"))


def environment(**more: str) -> dict[str, str]:
    """This process's environment without variables of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ASYA_")} | more


def run(*arguments: str, stdin: str = "", seconds: float = 60.0, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [asya(), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment(**env),
        check=False,
    )


def actor(folder: Path, name: str, source: str, *, handler: str = "handler.handle", **spec: object) -> Path:
    """Write an actor: its manifest (JSON is YAML) and its module."""
    home = folder / name
    home.mkdir(parents=True)
    manifest = {
        "apiVersion": "asya.sh/v1alpha1",
        "kind": "AsyncActor",
        "metadata": {"name": name},
        "spec": {"image": "any:1", "handler": handler, **spec},
    }
    (home / "asyncactor.yaml").write_text(json.dumps(manifest, indent=1))
    (home / "handler.py").write_text(source)
    return home


class Up:
    """A running `asya up`."""

    def __init__(self, state: Path, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.state, self.log, self.process = state, log, process
        address = self.until(self._address, "api.json")
        self.http = httpx.Client(
            base_url=address["url"],
            headers={"Authorization": f"Bearer {address['token']}"},
            trust_env=False,
            timeout=30.0,
        )

    def _address(self) -> dict[str, str] | None:
        """The address, once somebody answers there: after a `kill -9` the old file is still there for a moment."""
        try:
            address: dict[str, str] = json.loads((self.state / "api.json").read_text())
            httpx.get(address["url"] + "/health", trust_env=False).raise_for_status()
        except (FileNotFoundError, httpx.ConnectError):
            return None
        return address

    def send(self, actor: str, payload: object = None, **more: object) -> str:
        """Create a task."""
        answer = self.http.post(f"/api/v1/mesh/?actor={actor}", json={"payload": payload} | more)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """Return a task."""
        found: dict[str, Any] = self.http.get(f"/api/v1/mesh/{task_id}").json()
        return found

    def ended(self, task_id: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait for a task's final status."""

        def final() -> dict[str, Any] | None:
            task = self.task(task_id)
            return task if task["status"] in ("succeeded", "failed", "canceled") else None

        return self.until(final, f"the end of {task_id}", seconds)

    def actors(self) -> dict[str, dict[str, Any]]:
        """Return the actors by name."""
        return {state["name"]: state for state in self.http.get("/api/v1/actors").json()["actors"]}

    def record(self) -> list[dict[str, dict[str, Any]]]:
        """Return the recorded status, line by line, actors by name."""
        lines = (self.state / "status.jsonl").read_text().splitlines()
        return [{state["name"]: state for state in json.loads(line)["actors"]} for line in lines]

    def until(self, look: Callable[[], T | None], what: str, seconds: float = START_SECONDS) -> T:
        """Look again and again until there is something, with a bound; a dead `asya up` ends it at once."""
        end = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            assert self.process.poll() is None, f"asya up ended with {self.process.returncode}:\n{self.said()}"
            assert time.monotonic() < end, f"no {what} within {seconds:g} s:\n{self.said()}"
            time.sleep(_PAUSE)

    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def stop(self) -> int:
        """Stop it as Ctrl-C does; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def up(folder: Path, state: Path, *arguments: str, **env: str) -> Iterator[Up]:
    """Run `asya up` on a folder; whatever happens, nothing of it stays."""
    log = state.with_name(state.name + ".log")
    command = [asya(), "up", str(folder), "--state", str(state), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment(**env))
    running = None
    try:
        running = Up(state, log, process)
        yield running
        running.stop()
    finally:
        if running is not None:
            running.http.close()
        if process.poll() is None:
            process.kill()
            process.wait()
