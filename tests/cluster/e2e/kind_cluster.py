"""A cluster made by kind, with the images of this checkout: `python -m tests.cluster.e2e.kind_cluster up|load|down`.

Runs in an environment of its own (requirements/kind.txt), so it knows pytest-kind, the standard library and nothing of
the tests. Docker, kind and kubectl are the machine's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pytest_kind import KindCluster  # type: ignore[import-not-found]  # of the other environment

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "build" / "kind"
KUBECONFIG = FOLDER / "kubeconfig"
ARCHIVES = ROOT / "build" / "images"
NAME_VARIABLE = "NAME"
_SECONDS = 600


def cluster() -> KindCluster:
    """Return the cluster, which need not be there yet.

    Raises:
        SystemExit: A program is missing.
    """
    if missing := [name for name in ("docker", "kind", "kubectl") if shutil.which(name) is None]:
        raise SystemExit(f"{', '.join(missing)} not on the PATH; a cluster of kind needs them")
    FOLDER.mkdir(parents=True, exist_ok=True)
    # It makes a folder .pytest-kind where it is.
    os.chdir(FOLDER)
    programs = {f"{name}_path": Path(str(shutil.which(name))) for name in ("kind", "kubectl")}
    return KindCluster(os.environ.get(NAME_VARIABLE) or "asya", KUBECONFIG, **programs)


def load(made: KindCluster, archive: Path) -> None:
    """Put the images of an archive (docker-archive) on the cluster's nodes."""
    words = [str(made.kind_path), "load", "image-archive", f"--name={made.name}", str(archive)]
    subprocess.run(words, check=True, timeout=_SECONDS)


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="create it if it is not there, and load the archives of build/images")
    commands.add_parser("load", help="load archives").add_argument("archives", nargs="+", type=Path)
    commands.add_parser("down", help="delete it")
    options = parser.parse_args()
    archives = [path.resolve() for path in getattr(options, "archives", None) or sorted(ARCHIVES.glob("*.tar"))]
    made = cluster()
    match options.command:
        case "down":
            made.delete()
        case "up":
            made.create()
            for archive in archives:
                load(made, archive)
            print(f"export KUBECONFIG={KUBECONFIG}")
        case _:
            for archive in archives:
                load(made, archive)
    return 0


if __name__ == "__main__":
    sys.exit(main())
