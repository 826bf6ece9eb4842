"""kubectl and Helm from outside: the programs of the machine, in the cluster's network."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.plan import ClusterError, Plan
from tests.cluster.programs import program

Manifest = Mapping[str, Any]


def command(plan: Plan, words: Iterable[str]) -> list[str]:
    """Return the command that runs `words` in the cluster's network, with the files of the machine."""
    return ["nsenter", f"--net={plan.netns}", "--", *words]


def wrapper(plan: Plan, name: str) -> Path:
    """Return a script that is the program `name` for this cluster, to be handed to libraries that call a program."""
    script = plan.state / "bin" / name
    script.parent.mkdir(exist_ok=True)
    words = shlex.join(command(plan, [str(program(name).path)]))
    own = f"{plan.state}/helm"
    homes = "".join(f"export HELM_{kind}_HOME={own}/{kind.lower()}\n" for kind in ("CACHE", "CONFIG", "DATA"))
    script.write_text(f'#!/bin/sh\nexport KUBECONFIG="${{KUBECONFIG:-{plan.kubeconfig}}}"\n{homes}exec {words} "$@"\n')
    script.chmod(0o755)
    return script


class Kubectl:
    """kubectl as the cluster's administrator."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._program = str(program("kubectl").path)

    def __call__(self, *words: str, data: str | None = None, seconds: float = 120.0) -> str:
        """Run it and return what it printed.

        Raises:
            ClusterError: It failed.
        """
        done = subprocess.run(
            self.command(words), input=data, capture_output=True, text=True, check=False, timeout=seconds
        )
        if done.returncode:
            raise ClusterError(f"kubectl {shlex.join(words)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def command(self, words: Iterable[str]) -> list[str]:
        """Return the command line for `words`."""
        return command(self.plan, [self._program, f"--kubeconfig={self.plan.kubeconfig}", *words])

    def apply(self, *objects: Manifest) -> str:
        """Apply objects on the server's side, taking over fields that others own."""
        return self(*("apply", "--server-side", "--force-conflicts", "-f", "-"), data=yaml.safe_dump_all(list(objects)))

    def get(self, *words: str) -> Any:
        """Return what `kubectl get` finds."""
        return json.loads(self("get", *words, "--output=json"))

    def wait(self, what: str, condition: str, *, namespace: str = "default", seconds: int = 120) -> None:
        """Wait until an object is there and a condition (such as `condition=Ready`) holds.

        Raises:
            ClusterError: It does not in time; with what the object says about itself.
        """
        where = (what, f"--namespace={namespace}", f"--timeout={seconds}s")
        try:
            self("wait", "--for=create", *where, seconds=seconds + 30)
            self("wait", f"--for={condition}", *where, seconds=seconds + 30)
        except ClusterError as error:
            raise ClusterError(f"{error}\n{self._describe(what, namespace)}") from error

    def _describe(self, what: str, namespace: str) -> str:
        try:
            return self("describe", what, f"--namespace={namespace}")
        except ClusterError as error:
            return str(error)
