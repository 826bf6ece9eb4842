"""Where the Go programs of a cluster are; `make tools` builds them, `tools/versions.toml` pins them."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.plan import ROOT, ClusterError

sys.path.append(str(ROOT / "tools"))

from go_tools_build import cache
from go_tools_go import ToolError, toolchain
from go_tools_plan import read_plan

VERSIONS = ROOT / "tools" / "versions.toml"
NODE = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
    *("kubectl", "coredns", "pause", "crane"),
)


@dataclass(frozen=True)
class Program:
    """A program and the version it was built from."""

    path: Path
    version: str

    @property
    def key(self) -> str:
        """Another one for every other build: the name of the folder it lies in."""
        return self.path.parent.name


def missing(names: tuple[str, ...]) -> list[str]:
    """Return those of `names` that are not built."""
    tools, where = read_plan(VERSIONS.read_text()).tools, cache(os.environ)
    return [name for name in names if not where.place(tools[name]).exists()]


def program(name: str) -> Program:
    """Return where a program is.

    Raises:
        ClusterError: It is not built.
    """
    tool = read_plan(VERSIONS.read_text()).tools[name]
    place = cache(os.environ).place(tool)
    if not place.exists():
        raise ClusterError(f"{name} {tool.version} is not built; `make tools TOOLS={name}` builds it")
    return Program(place, tool.version)


def source(name: str) -> Path:
    """Return the folder of a module's source, in which a component's chart and definitions lie.

    Raises:
        ClusterError: The module cannot be fetched.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            return Path(toolchain().fetch(read_plan(VERSIONS.read_text()).modules[name], Path(folder))["Dir"])
    except ToolError as error:
        raise ClusterError(f"the source of {name} cannot be had: {error}") from error
