"""The cluster under test, and what a test may do with it beside kubectl.

`CLUSTER` chooses it. A cluster of another kind is one more class with these members; what cannot be done to it skips
the test that asks for it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tests.cluster import brokers, control_plane
from tests.cluster.cluster import Cluster
from tests.cluster.e2e.layers import layer
from tests.cluster.kubectl import Kubectl, command
from tests.cluster.plan import ClusterError
from tests.cluster.platform import PYTHONS
from tests.cluster.processes import Component
from tests.cluster.programs import program
from tests.cluster.registry import place

CHOICE_VARIABLE, NAME_VARIABLE = "CLUSTER", "NAME"


class Target(Protocol):
    """A running cluster on which Asya is installed."""

    node: str
    amqp_url: str
    management_url: str
    s3_url: str
    kubectl: Kubectl
    kubeconfig: Path

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs a program of this machine so that it reaches the API server."""

    def network(self) -> AbstractContextManager[None]:
        """Let this thread open connections to the URLs."""

    def push(
        self, name: str, files: Mapping[str, Path], environment: Mapping[str, str], *, on: str | None = None
    ) -> None:
        """Make an image with files below /app, under a full name, on Python or on an image that was pushed before."""

    def image(self, name: str) -> str:
        """Return how manifests name an image that was pushed under a name."""

    def kill(self, container: str) -> None:
        """End the first process of a container, by its id, with SIGKILL."""

    def restart_broker(self) -> None:
        """Stop the broker, and return when it listens again."""

    def restart_apiserver(self) -> None:
        """Kill the API server, and return when it is ready again."""

    def logs(self) -> Mapping[str, str]:
        """What all pods and the cluster's own processes have printed so far, by a name."""


class Own:
    """The cluster of `tests.cluster`."""

    def __init__(self, name: str) -> None:
        self.cluster = Cluster(name)
        if not self.cluster.running:
            raise ClusterError(f"cluster {name} is not up; `make e2e` brings it up")
        plan, net = self.cluster.plan, self.cluster.plan.network
        login = f"{brokers.ADMINISTRATOR}:{brokers.password(plan)}"
        self.node = plan.node
        self.amqp_url = f"amqp://{login}@{net.at(net.amqp)}/"
        self.management_url = f"http://{net.at(net.rabbitmq_management)}"
        self.s3_url = f"http://{net.at(net.moto)}"
        self.kubectl = self.cluster.kubectl()
        self.kubeconfig = plan.kubeconfig

    def command(self, words: Sequence[str]) -> list[str]:
        """See `Target.command`."""
        return command(self.cluster.plan, words)

    def network(self) -> AbstractContextManager[None]:
        """See `Target.network`."""
        return self.cluster.namespaces.network()

    def push(
        self, name: str, files: Mapping[str, Path], environment: Mapping[str, str], *, on: str | None = None
    ) -> None:
        """See `Target.push`."""
        plan, crane = self.cluster.plan, str(program("crane").path)
        base, where = place(plan, on or f"python:{PYTHONS[-1]}"), place(plan, name)
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            archive.write(layer(files))
            archive.flush()
            self.cluster.namespaces.run(
                [crane, "append", "--insecure", f"--base={base}", f"--new_layer={archive.name}", f"--new_tag={where}"]
            )
        variables = [f"--env={key}={value}" for key, value in environment.items()]
        words = [
            crane,
            "mutate",
            "--insecure",
            where,
            "--workdir=/app",
            "--user=1000:1000",
            *variables,
            f"--tag={where}",
        ]
        self.cluster.namespaces.run(words)

    def image(self, name: str) -> str:
        """See `Target.image`."""
        return name

    def kill(self, container: str) -> None:
        """See `Target.kill`."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                groups = (folder / "cgroup").read_text()
                first = (folder / "status").read_text().partition("NSpid:")[2].splitlines()[0].split()[-1] == "1"
            except OSError:
                continue
            if container in groups and first:
                os.kill(int(folder.name), 9)
                return
        raise ClusterError(f"no process of container {container}")

    def restart_broker(self) -> None:
        """See `Target.restart_broker`."""
        self._restart(brokers.rabbitmq(self.cluster.plan), 15)

    def restart_apiserver(self) -> None:
        """See `Target.restart_apiserver`."""
        self._restart(control_plane.apiserver(self.cluster.plan), 9)

    def logs(self) -> Mapping[str, str]:
        """See `Target.logs`."""
        found = self.cluster.plan.logs.rglob("*.log")
        return {str(path.relative_to(self.cluster.plan.logs)): path.read_text(errors="replace") for path in found}

    def _restart(self, component: Component, number: int) -> None:
        self.cluster.processes.stop(component.name, number)  # type: ignore[arg-type]
        self.cluster.processes.start(component)
        self.cluster.processes.wait(component)


def choose(environ: Mapping[str, str]) -> Target:
    """Return the cluster that the environment names.

    Raises:
        ClusterError: It is of an unknown kind, or not up.
    """
    match environ.get(CHOICE_VARIABLE, "own"):
        case "own":
            return Own(environ.get(NAME_VARIABLE) or "e2e")
        case "kubeconfig":
            from tests.cluster.e2e.foreign import Foreign

            return Foreign(environ)
        case "kind":
            from tests.cluster.e2e.kind import Kind

            return Kind(environ)
        case kind:
            raise ClusterError(f"{CHOICE_VARIABLE}={kind}; expected own, kind or kubeconfig")
