"""Render an example offline with Crossplane's own command line and engine: `make render XR=FILE`.

The function runs as a process of this checkout and the engine is Crossplane's core program, so neither a cluster nor
Docker is needed. `asya render` does the same in one process, without Crossplane.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from go_tools_build import cache
from go_tools_plan import read_plan

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "crossplane" / "examples"
START_SECONDS, LOOK_SECONDS = 30.0, 0.05
_TARGET = "render.crossplane.io/runtime-development-target"


class RenderError(Exception):
    """Something cannot be rendered; the message is for people."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Crossplane's command line, and its core program, which is the engine that renders."""

    crossplane: Path
    core: Path


def programs() -> Programs:
    """Return what `make tools` has built.

    Raises:
        RenderError: Something is not built.
    """
    plan, where = read_plan((ROOT / "tools" / "versions.toml").read_text()), cache(os.environ)
    found = {name: where.place(plan.tools[name]) for name in ("crossplane", "crossplane-core")}
    if missing := [name for name, place in found.items() if not place.exists()]:
        raise RenderError(f'not built: {", ".join(missing)}; `make tools TOOLS="{" ".join(missing)}"` builds them')
    return Programs(*found.values())


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Serve the function on a free loopback port and yield the address.

    Raises:
        RenderError: It does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "asya_composer.main", "--insecure", "--address", address]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            _wait(process, port)
            yield address
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once the port is open; stop waiting as soon as the process has ended."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS).close()
        except ConnectionRefusedError:
            time.sleep(LOOK_SECONDS)
        else:
            return
    raise RenderError(f"the function did not start within {START_SECONDS:.0f} s: exit status {process.poll()}")


def render(found: Programs, address: str, xr: Path, composition: Path, *options: str) -> str:
    """Return what Crossplane renders of one composite, as YAML documents.

    Raises:
        RenderError: Crossplane or the function refuses it, and says why.
    """
    command: Sequence[str | Path] = [
        *(found.crossplane, "composition", "render", xr, composition, EXAMPLES / "functions.yaml"),
        *(f"--crossplane-binary={found.core}", f"--xrd={ROOT / 'xrds' / 'asyncactors.yaml'}"),
        *(f"--function-annotations={_TARGET}={address}", *options),
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as required:
        required.write(_cluster(xr))
        required.flush()
        command = [*command, f"--required-resources={required.name}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise RenderError(f"`{shlex.join(map(str, command))}` failed:\n{said}")
    status = next(iter(yaml.safe_load_all(done.stdout))).get("status") or {}
    if status.get("phase") == "Degraded":
        # Crossplane renders a refusal too: the function says it in the composite, where people will read it.
        raise RenderError(f"{xr} is refused: {status['message']}")
    return done.stdout


def _cluster(xr: Path) -> str:
    """Return what the cluster holds besides; the engine would take the composite's own objects for what it observes."""
    own = _identity(yaml.safe_load(xr.read_text()))
    others = yaml.safe_load_all((EXAMPLES / "required.yaml").read_text())
    return yaml.safe_dump_all([each for each in others if own not in (_identity(each), *_owners(each))])


def _owners(manifest: dict[str, Any]) -> list[tuple[str, str, str]]:
    metadata = manifest["metadata"]
    owners = metadata.get("ownerReferences", ())
    return [(owner["kind"], metadata.get("namespace", ""), owner["name"]) for owner in owners]


def _identity(manifest: dict[str, Any]) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def main() -> int:
    """Render one example."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Further options go to `crossplane composition render`, such as -x, -r or -o OBSERVED.yaml.",
    )
    parser.add_argument("xr", type=Path, help="an AsyncActor, such as crossplane/examples/rabbitmq/minimal.yaml")
    parser.add_argument("--composition", type=Path, help="(default: composition.yaml beside it)")
    options, more = parser.parse_known_args()
    composition = options.composition or options.xr.parent / "composition.yaml"
    if missing := [str(path) for path in (options.xr, composition) if not path.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    try:
        found = programs()
        with served() as address:
            print(render(found, address, options.xr.resolve(), composition.resolve(), *more), end="")
    except RenderError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
