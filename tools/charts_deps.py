"""Put the charts that the umbrella bundles into `charts/asya/charts`: `make chart-deps`.

`helm dependency build` does it where KEDA's chart repository can be reached. Elsewhere our charts are packaged from
their folders, and KEDA from its own manifests (of its pinned Go module) as a chart of the same name and version, so
that everything can be tested either way.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from keda_chart import KedaChartError, keda_chart

ROOT = Path(__file__).resolve().parent.parent
UMBRELLA = ROOT / "charts" / "asya"
GO_TOOLS = Path(__file__).with_name("go_tools.py")
LOCAL = "file://"
PATIENCE_SECONDS = 60.0


class DependencyError(Exception):
    """The bundled charts cannot be had."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A chart that another one asks for."""

    name: str
    version: str
    repository: str


def dependencies(umbrella: Path) -> list[Dependency]:
    """Return the dependencies of a chart as its Chart.yaml lists them."""
    listed = yaml.safe_load((umbrella / "Chart.yaml").read_text())["dependencies"]
    return [Dependency(item["name"], item["version"], item["repository"]) for item in listed]


def fetch(helm: Path, umbrella: Path) -> None:
    """Let Helm fetch everything.

    Raises:
        DependencyError: It could not.
    """
    with tempfile.TemporaryDirectory() as home:
        # Not the user's own repositories and cache.
        own = {name: f"{home}/{name}" for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
        for item in dependencies(umbrella):
            if not item.repository.startswith(LOCAL):
                run([helm, "repo", "add", item.name, item.repository], environment=own, seconds=PATIENCE_SECONDS)
        run([helm, "dependency", "build", umbrella], environment=own, seconds=PATIENCE_SECONDS)


def package(helm: Path, kubectl: Path, umbrella: Path, keda: Path) -> None:
    """Package our charts from their folders, and KEDA from the source in the folder `keda`.

    Raises:
        DependencyError: Something else is asked for, KEDA in another version, or a program fails.
    """
    target = umbrella / "charts"
    shutil.rmtree(target, ignore_errors=True)
    for item in dependencies(umbrella):
        if item.repository.startswith(LOCAL):
            run([helm, "package", umbrella / item.repository.removeprefix(LOCAL), "--destination", target])
        elif item.name == "keda" and keda.name.endswith(f"@v{item.version}"):
            with tempfile.TemporaryDirectory() as made:
                made_chart = keda_chart(
                    Path(made), name=item.name, version=item.version, source=keda, kubectl=str(kubectl)
                )
                run([helm, "package", made_chart, "--destination", target])
        else:
            raise DependencyError(f"{item.name} {item.version} cannot be made from {keda.name}")


def run(
    command: Sequence[str | Path], *, environment: dict[str, str] | None = None, seconds: float | None = None
) -> str:
    """Run a command and return what it prints.

    Raises:
        DependencyError: It failed, or took longer than `seconds`.
    """
    try:
        done = subprocess.run(
            command, env=os.environ | (environment or {}), capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise DependencyError(f"{command[0]} took longer than {seconds} s") from None
    if done.returncode:
        raise DependencyError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def tool(name: str) -> Path:
    """Return where a pinned program is.

    Raises:
        DependencyError: It is not built.
    """
    return Path(run([sys.executable, GO_TOOLS, "path", name]).strip())


def main() -> int:
    """Fetch, else package."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--offline", action="store_true", help="do not try KEDA's chart repository")
    options = parser.parse_args()
    try:
        helm = tool("helm")
        if options.offline or not _fetched(helm):
            source = Path(run([sys.executable, GO_TOOLS, "source", "keda"]).strip())
            package(helm, tool("kubectl"), UMBRELLA, source)
    except (DependencyError, KedaChartError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in sorted((UMBRELLA / "charts").iterdir()):
        print(path.relative_to(ROOT))
    return 0


def _fetched(helm: Path) -> bool:
    try:
        fetch(helm, UMBRELLA)
    except DependencyError as error:
        print(f"{error}\nso KEDA is packaged from its own manifests", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
