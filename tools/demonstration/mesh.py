"""A mesh on this machine: `asya up` as a process of its own, and its HTTP interface."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from demonstration.recording import Trace, read_trace

_PAUSE = 0.1
_LAST_LINES = 15
START_LIMIT = 30.0
STOP_LIMIT = 30.0
_USERS_OWN = ("ASYA_", "AWS_", "GOOGLE_", "PUBSUB_")
FINAL = {"succeeded", "failed", "canceled"}


class DemoError(Exception):
    """The demonstration cannot go on; the text says why and where to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """Where the queues are: the transport's name, and the variables that lead `asya up` there."""

    transport: str
    variables: Mapping[str, str]

    def typed(self, example: str) -> str:
        """Return what a person types to run the actors of the folder `example` on these queues."""
        setting = [f"export {name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return "\n".join((*setting, shlex.join(["asya", *self.arguments(example)])))

    def arguments(self, example: str) -> list[str]:
        """Return the words behind `asya`; examples on one broker are kept apart by namespaces."""
        words = ["up", example, "--transport", self.transport]
        return words if self.transport == "sqlite" else [*words, "--namespace", Path(example).name]


class Mesh:
    """Client of one running `asya up`."""

    def __init__(self, state: Path, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.state = state
        self._log = log
        self._process = process
        address = self._read_address()
        self._http = httpx.Client(
            base_url=address["url"],
            headers={"Authorization": f"Bearer {address['token']}"},
            timeout=10,
            trust_env=False,
        )

    def send(self, actor: str, payload: object, route: list[str]) -> str:
        """Send `payload` to `actor` and then along `route`; return the task's id."""
        answer = self._http.post("/api/v1/mesh/", params={"actor": actor}, json={"payload": payload, "route": route})
        if answer.status_code != httpx.codes.CREATED:
            raise DemoError(f"sending to {actor} was refused: {answer.status_code} {answer.text}")
        return str(answer.json()["id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """Return a task as the mesh sees it now."""
        return self._get(f"/api/v1/mesh/{task_id}")

    def trace(self, task_id: str) -> Trace:
        """Return all hops of a task and of what was made from it."""
        return read_trace(self._get(f"/api/v1/mesh/{task_id}/trace"))

    def watch(self, task_id: str, *, limit: float) -> Iterator[dict[str, Any]]:
        """Yield the task again and again until it and all its descendants have ended.

        Raises:
            DemoError: None of them has begun or ended for `limit` seconds, or the mesh stopped.
        """
        before, end = None, 0.0
        while True:
            task = self.task(task_id)
            yield task
            children = task["children"]
            if task["status"] in FINAL and not children["open"]:
                return
            if (now := (task["status"], children)) != before:
                before, end = now, time.monotonic() + limit
            self._check(end, f"nothing has come through for {limit:.0f} s ({children['open']} messages open)")

    def wait_until_idle(self, actors: set[str], *, limit: float) -> None:
        """Return when none of `actors` has a replica.

        Raises:
            DemoError: Not within `limit` seconds, or the mesh stopped.
        """
        end = time.monotonic() + limit
        while True:
            states = self._get("/api/v1/actors")["actors"]
            busy = [state["name"] for state in states if state["name"] in actors and state["replicas"]]
            if not busy:
                return
            self._check(end, f"{', '.join(busy)} still had replicas after {limit:.0f} s")

    def close(self) -> None:
        """Forget the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        """Use as a context, closed at its end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._http.get(path)
        if answer.status_code != httpx.codes.OK:
            raise DemoError(f"{path} answered {answer.status_code} {answer.text}")
        found: dict[str, Any] = answer.json()
        return found

    def _read_address(self) -> dict[str, str]:
        path = self.state / "api.json"
        end = time.monotonic() + START_LIMIT
        while not path.exists():
            self._check(end, f"`asya up` was not ready within {START_LIMIT:.0f} s")
        address: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return address

    def _check(self, end: float, problem: str) -> None:
        if self._process.poll() is not None:
            raise _ended(self._process, self._log)
        if time.monotonic() > end:
            raise DemoError(f"{problem}; see {self._log}")
        time.sleep(_PAUSE)


@contextmanager
def running(example: Path, state: Path, queues: Queues, environment: Mapping[str, str]) -> Iterator[Mesh]:
    """Run `asya up` on a folder of manifests, and stop it as Ctrl-C does at the end."""
    state.mkdir(parents=True)
    log = state.with_suffix(".log")
    command = [str(Path(sys.executable).with_name("asya")), *queues.arguments(str(example)), "--state", str(state)]
    # What the shell says of a mesh or an account of the user's own is not meant for this one.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_USERS_OWN)}
    environment = {**inherited, **queues.variables, **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            with Mesh(state, log, process) as mesh:
                yield mesh
        finally:
            _stop(process)
    if process.returncode != 0:
        raise _ended(process, log)


def _ended(process: subprocess.Popen[bytes], log: Path) -> DemoError:
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    return DemoError(f"`asya up` ended with exit code {process.returncode}; from {log}:\n" + "\n".join(last))


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        # A process group of its own (start_new_session), so nothing of it stays behind.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
