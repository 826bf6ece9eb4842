"""The control group of a cluster, under which its pods are: made before the kubelet asks for it, removed afterwards."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.cluster.plan import ClusterError, Plan
from tests.cluster.waiting import wait_until

MOUNT = Path("/sys/fs/cgroup")
# What the kubelet does not start without.
NEEDED = ("cpu", "cpuset", "memory", "pids")
_EMPTY_SECONDS = 10.0


def unified(mount: Path = MOUNT) -> bool:
    """Whether the machine has version 2, one hierarchy for all controllers."""
    return (mount / "cgroup.controllers").exists()


def controllers(mount: Path = MOUNT) -> set[str]:
    """Return the controllers that the machine offers."""
    if unified(mount):
        return set((mount / "cgroup.controllers").read_text().split())
    return {path.name for path in mount.iterdir() if (path / "cgroup.procs").exists()} if mount.is_dir() else set()


def folders(plan: Plan, mount: Path = MOUNT) -> list[Path]:
    """Return the cluster's control group in each hierarchy."""
    if unified(mount):
        return [mount / plan.scope]
    return sorted({path.resolve() / plan.scope for path in mount.iterdir() if (path / "cgroup.procs").exists()})


def make(plan: Plan) -> None:
    """Make them.

    Raises:
        ClusterError: The machine does not allow it.
    """
    try:
        for folder in folders(plan):
            folder.mkdir(exist_ok=True)
            if unified():
                wanted = " ".join(f"+{name}" for name in sorted(controllers()))
                for group in (folder.parent, folder):
                    (group / "cgroup.subtree_control").write_text(wanted)
            elif folder.parent.name.startswith("cpuset") or "cpuset" in folder.parent.name.split(","):
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (folder / name).write_text((folder.parent / name).read_text())
    except OSError as error:
        raise ClusterError(f"no control group can be made: {error}") from error


def remove(plan: Plan) -> None:
    """Remove them with all groups below, whose processes have ended."""
    for folder in folders(plan):
        if not folder.exists():
            continue
        # A group stays busy for a moment after its last process has ended.
        wait_until(f"removal of {folder}", lambda top=folder: _gone(top), _EMPTY_SECONDS)  # type: ignore[misc]


def _gone(top: Path) -> bool:
    below = [path for path in top.rglob("*") if path.is_dir()]
    for path in (*sorted(below, key=lambda found: -len(found.parts)), top):
        with contextlib.suppress(OSError):
            path.rmdir()
    return not top.exists()
