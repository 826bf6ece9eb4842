"""The registry on the node. Each image lies there under the path of its full name, whatever registry that names."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.namespaces import Namespaces
from tests.cluster.node import SOCKET
from tests.cluster.plan import ClusterError, Plan
from tests.cluster.processes import Component, Http
from tests.cluster.programs import program

CTR = "ctr"


def registry(plan: Plan) -> Component:
    """The registry. Its blobs, named by their digests, are shared by all clusters; what is tagged is each one's own."""
    blobs = plan.cache / "registry"
    blobs.mkdir(parents=True, exist_ok=True)
    command = (str(program("crane").path), "registry", "serve", f"--address={plan.registry}", f"--disk={blobs}")
    return Component("registry", command, Http(f"http://{plan.registry}/v2/"))


def place(plan: Plan, name: str) -> str:
    """Return where the node's registry has the image `name`, as containerd asks for it.

    `python:3.13-slim` and `docker.io/library/python:3.13-slim` are the same one.
    """
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        path = rest
    else:
        path = name if slash else f"library/{name}"
    return f"{plan.registry}/{path}"


def push(namespaces: Namespaces, image: Path, name: str) -> None:
    """Push an image (a layout's folder or an archive) under its full name.

    Where the name stood for another one, the node forgets that: pods that are started from now on have the new one.

    Raises:
        ClusterError: It cannot be pushed.
    """
    crane, where = str(program("crane").path), place(namespaces.plan, name)
    before = _digest(namespaces, where)
    namespaces.run([crane, "push", "--insecure", str(image), where])
    if before not in {None, _digest(namespaces, where)}:
        images = [CTR, f"--address={SOCKET}", "--namespace=k8s.io", "images"]
        known = namespaces.run([*images, "list", "--quiet"]).split()
        if old := [each for each in known if "@" not in each and place(namespaces.plan, each) == where]:
            namespaces.run([*images, "remove", *old])


def _digest(namespaces: Namespaces, where: str) -> str | None:
    try:
        return namespaces.run([str(program("crane").path), "digest", "--insecure", where])
    except ClusterError:
        return None
