"""Run `ct lint` over all charts with the pinned helm, yamllint and yamale: part of `make charts`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from charts_deps import ROOT, DependencyError, tool


def main() -> int:
    """Lint."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--helm", default="helm", choices=["helm", "helm3"], help="which of the pinned helms")
    options = parser.parse_args()
    try:
        helm, ct = tool(options.helm), tool("ct")
    except DependencyError as error:
        print(error, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        # ct calls it by this name, whatever version it is.
        (Path(folder) / "helm").symlink_to(helm)
        path = [folder, str(Path(sys.executable).parent), os.environ["PATH"]]
        environment = os.environ | {"PATH": os.pathsep.join(path)}
        return subprocess.run([ct, "lint"], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
