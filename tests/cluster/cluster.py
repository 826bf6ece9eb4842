"""A cluster: up, down, status."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import brokers, certificates, cgroups, control_plane, dns, node, preflight, registry
from tests.cluster.kubectl import Kubectl
from tests.cluster.namespaces import BOUND, Namespaces
from tests.cluster.oci import Image, layout
from tests.cluster.plan import ClusterError, Plan, own
from tests.cluster.processes import Component, Processes
from tests.cluster.programs import program

_READY_SECONDS = 60


class Cluster:
    """One cluster, running or not. Every process with the same name and environment sees the same one."""

    def __init__(self, name: str = "asya", *, tell: Callable[[str], None] | None = None) -> None:
        self.plan: Plan = own(name)
        self.namespaces = Namespaces(self.plan)
        self.processes = Processes(self.namespaces)
        self._tell = tell or (lambda line: print(line, file=sys.stderr, flush=True))

    @property
    def running(self) -> bool:
        """Whether it is up, or partly up."""
        return self.namespaces.anchor is not None

    def kubectl(self) -> Kubectl:
        """kubectl as its administrator."""
        return Kubectl(self.plan)

    def up(self) -> None:
        """Bring it up: node ready, names resolved, brokers listening.

        Raises:
            ClusterError: The machine lacks something, a cluster of this name is there, or a part does not get ready.
        """
        preflight.prepare(os.environ)
        if self.plan.state.exists():
            raise ClusterError(f"cluster {self.plan.name} is there already, in {self.plan.state}; take it down first")
        began = time.monotonic()
        try:
            with self.step("namespaces, control groups, certificates"):
                self._make_room()
            self._start()
        except BaseException:
            # Its logs are what explains the failure, so they stay until the next `down`; nothing runs on.
            self.namespaces.remove()
            cgroups.remove(self.plan)
            raise
        self._tell(f"cluster {self.plan.name} is up after {time.monotonic() - began:.1f} s")

    def down(self) -> None:
        """Take it down with everything that belongs to it. Nothing happens when there is none.

        Raises:
            ClusterError: Something does not go away.
        """
        self.namespaces.remove()
        cgroups.remove(self.plan)
        shutil.rmtree(self.plan.state, ignore_errors=True)
        others = self.plan.state.parent
        if not others.is_dir() or not any(others.iterdir()):
            for folder in map(Path, BOUND):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    def status(self) -> str:
        """Return which processes run, and the nodes and pods."""
        if not self.running:
            return f"cluster {self.plan.name} is not up"
        lines = [f"{'runs' if self.processes.running(name) else 'ENDED'}  {name}" for name in self.processes.names()]
        kubectl = self.kubectl()
        for words in (("nodes",), ("pods", "--all-namespaces", "--output=wide")):
            try:
                lines += ["", kubectl("get", *words).rstrip()]
            except ClusterError as error:
                lines += ["", str(error)]
        return "\n".join(lines)

    def push(self, image: Image, tag: str = "1") -> None:
        """Write an image if the cache does not have it, and put it into the node's registry."""
        registry.push(self.namespaces, layout(image, self.plan.cache / "images"), f"{image.name}:{tag}")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say how long a part took."""
        began = time.monotonic()
        yield
        self._tell(f"{time.monotonic() - began:6.1f} s  {what}")

    def _make_room(self) -> None:
        self.plan.logs.mkdir(parents=True)
        self.plan.cache.mkdir(parents=True, exist_ok=True)
        certificates.write_all(self.plan)
        cgroups.make(self.plan)
        self.namespaces.make(program("pause").path)

    def _start(self) -> None:
        plan, start = self.plan, self.processes.start
        beside, lacking = brokers.all_there(plan)
        for line in lacking:
            self._tell(f"          {line}")
        etcd, images, apiserver = control_plane.etcd(plan), registry.registry(plan), control_plane.apiserver(plan)
        late = [control_plane.controller_manager(plan), control_plane.scheduler(plan)]
        late += [node.kubelet(plan), node.kube_proxy(plan)]
        for component in (etcd, images, node.containerd(plan)):
            start(component)
        self._wait("etcd", etcd)
        start(apiserver)
        with self.step("images of the node in its registry"):
            self.processes.wait(images)
            self.push(pause_image())
            self.push(dns.image())
        self._wait("API server", apiserver)
        for component in late:
            start(component)
        # Two cores are soon busy, and the node is on the longer way.
        for component in beside:
            start(component)
        kubectl = self.kubectl()
        kubectl.apply(*dns.manifests(plan))
        with self.step("node ready"):
            kubectl.wait(f"node/{plan.node}", "condition=Ready", seconds=_READY_SECONDS)
        with self.step("names resolved"):
            available = "condition=Available"
            kubectl.wait(f"deployment/{dns.NAME}", available, namespace=dns.NAMESPACE, seconds=_READY_SECONDS)
        for component in (*late, *beside):
            self._wait(component.name, component)

    def _wait(self, what: str, component: Component) -> None:
        with self.step(what):
            self.processes.wait(component)


def pause_image() -> Image:
    """The program that holds a pod's namespaces, alone."""
    built = program("pause")
    return Image(node.PAUSE, {"pause": built.path}, ["/pause"], built.key)
