"""What a machine needs for a cluster, and plain words for what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.cluster import cgroups
from tests.cluster.plan import STATE_VARIABLE, ClusterError, own
from tests.cluster.programs import NODE, missing

INSTALL_VARIABLE = "ASYA_TEST_INSTALL"
# A file of each Debian package that a node needs.
PACKAGES = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "nftables": "/usr/sbin/nft",
    "iptables": "/usr/sbin/iptables",
    "conntrack": "/usr/sbin/conntrack",
    "iproute2": "/usr/sbin/ip",
    "util-linux": "/usr/bin/nsenter",
    "procps": "/usr/sbin/sysctl",
    "rabbitmq-server": "/usr/lib/rabbitmq/bin/rabbitmq-server",
}
# And of those that only building images takes.
BUILD_PACKAGES = {"buildah": "/usr/bin/buildah", "debootstrap": "/usr/sbin/debootstrap"}
_INSTALL_SECONDS = 900


@dataclass(frozen=True)
class Machine:
    """What was found."""

    system: str
    root: bool
    controllers: frozenset[str]
    overlay: bool
    namespaces: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    apt: bool
    layered_state: str = ""
    """The folder of clusters, where it lies on an overlay file system."""


def look(packages: Mapping[str, str] = PACKAGES, programs: tuple[str, ...] = NODE) -> Machine:
    """Look at this machine."""
    root = os.geteuid() == 0
    return Machine(
        system=platform.system(),
        root=root,
        controllers=frozenset(cgroups.controllers()),
        overlay="\toverlay\n" in _read("/proc/filesystems") or _module("overlay"),
        namespaces=_try_namespaces() if root else "",
        packages=tuple(name for name, path in packages.items() if not Path(path).exists()),
        programs=tuple(missing(programs)),
        apt=shutil.which("apt-get") is not None,
        layered_state=_layered(own("any").state.parent),
    )


def incapable(machine: Machine) -> list[str]:
    """Return what neither a package nor a build would bring; empty when a cluster can be made of this machine."""
    return complaints(replace(machine, packages=() if machine.apt else machine.packages, programs=()))


def complaints(machine: Machine) -> list[str]:
    """Return what the machine lacks, each with what to do about it; empty when a cluster can be made."""
    if machine.system != "Linux":
        return [f"this machine runs {machine.system}: the cluster is made of Linux namespaces; use kind instead"]
    found = []
    if not machine.root:
        found.append("you are not root: namespaces, mounts and control groups need it; run it with sudo")
    if lacking := sorted(set(cgroups.NEEDED) - machine.controllers):
        found.append(f"no control groups for {', '.join(lacking)}: mount them under {cgroups.MOUNT}")
    if not machine.overlay:
        found.append("the kernel has no overlay file system: `modprobe overlay`")
    if machine.namespaces:
        found.append(f"namespaces cannot be made: {machine.namespaces}; in a container, it must be privileged")
    if machine.layered_state:
        found.append(
            f"{machine.layered_state} is on an overlay file system, on which containers have no layers of their own: "
            f"set {STATE_VARIABLE} to a folder on a disk or a tmpfs"
        )
    if machine.packages:
        words = " ".join(machine.packages)
        how = f"`apt-get install --no-install-recommends {words}`, or set {INSTALL_VARIABLE}=1 to have it done"
        found.append(f"not installed: {', '.join(machine.packages)}; {how if machine.apt else 'install them'}")
    if machine.programs:
        found.append(f"not built: {', '.join(machine.programs)}; `make cluster-tools` builds them")
    return found


def prepare(environ: Mapping[str, str], packages: Mapping[str, str] = PACKAGES) -> None:
    """Have everything, installing packages where that is allowed.

    Raises:
        ClusterError: Something is lacking; the message says what and how to get it.
    """
    machine = look(packages)
    if machine.packages and machine.root and machine.apt and environ.get(INSTALL_VARIABLE) == "1":
        install(machine.packages, environ)
        machine = look(packages)
    if found := complaints(machine):
        raise ClusterError("this machine lacks something:\n" + "\n".join(f"- {line}" for line in found))


def install(packages: tuple[str, ...], environ: Mapping[str, str]) -> None:
    """Install Debian packages without starting the services that they bring.

    Raises:
        ClusterError: apt-get failed.
    """
    print(f"installing {', '.join(packages)}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        quiet = {**environ, "DEBIAN_FRONTEND": "noninteractive", "POLICYRCD": str(policy), "RUNLEVEL": "1"}
        for words in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *packages]):
            done = subprocess.run(
                ["apt-get", *words], env=quiet, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS
            )
            if done.returncode:
                raise ClusterError(f"apt-get {' '.join(words)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def _try_namespaces() -> str:
    words = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--ipc", "--uts", "mount", "-t", "tmpfs"]
    done = subprocess.run([*words, "asya", "/run"], capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def _layered(folder: Path) -> str:
    """Return the folder when it is on an overlay file system."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    mounts = [line.split() for line in _read("/proc/self/mounts").splitlines()]
    kinds = {Path(words[1]): words[2] for words in mounts}
    mounted = next((each for each in (there.resolve(), *there.resolve().parents) if each in kinds), None)
    return str(folder) if mounted is not None and kinds[mounted] == "overlay" else ""


def _module(name: str) -> bool:
    found = shutil.which("modprobe")
    return found is not None and subprocess.run([found, name], capture_output=True, check=False).returncode == 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
