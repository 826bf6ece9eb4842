"""Make `.venv` ready for a target: `python3 tools/environment.py demo|test|…`. Quick when nothing has changed.

Standard library only, because it runs before anything is installed. Third-party packages come from the hash-locked
files under ``requirements/``; our own distributions are then installed from this checkout, without dependencies.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "asya-setup.json"
OURS = ("python", "sidecar")
# The composition function has dependencies of its own, which only the tests' lock holds.
OURS_IN_TESTS = (*OURS, "crossplane/composer")

# Target -> environment and lock. `test` holds all of `demo`, so an environment made for tests serves the demo too.
TARGETS = {
    "demo": (".venv", "demo"),
    "test": (".venv", "test"),
    "bench": (".venvs/peers", "bench"),
    "go": (".venvs/go", "go"),
    "helm-charts": (".venvs/helm-charts", "helm-charts"),
    "kind": (".venvs/kind", "kind"),
}
COVERED_BY = {target: (lock,) for target, (_, lock) in TARGETS.items()} | {"demo": ("demo", "test")}


def main() -> int:
    """Prepare the environment of one target."""
    if len(sys.argv) != 2 or sys.argv[1] not in TARGETS:
        print(f"usage: environment.py {'|'.join(TARGETS)}", file=sys.stderr)
        return 2
    target = sys.argv[1]
    folder, lock = TARGETS[target]
    environment = ROOT / folder
    if any(_ready(environment, name) for name in COVERED_BY[target]):
        return 0
    started = time.monotonic()
    version = sys.version.split()[0]
    print(f"Setting up {folder}: Python {version}, packages and hashes of requirements/{lock}.txt", flush=True)
    _create(environment)
    _install(environment, "--require-hashes", "-r", str(ROOT / "requirements" / f"{lock}.txt"))
    if environment.name == ".venv":
        print("Setting up our distributions from this checkout (editable)", flush=True)
        editable = [word for name in _ours(lock) for word in ("-e", f"./{name}")]
        _install(environment, "--no-deps", "--no-build-isolation", *editable)
    (environment / STAMP).write_text(json.dumps({"lock": lock, "digest": _digest(lock)}))
    print(f"Ready in {time.monotonic() - started:.0f} s")
    return 0


def _ready(environment: Path, lock: str) -> bool:
    try:
        stamp = json.loads((environment / STAMP).read_text())
    except (FileNotFoundError, ValueError):
        return False
    return bool(stamp == {"lock": lock, "digest": _digest(lock)}) and (environment / "bin" / "python").exists()


def _ours(lock: str) -> tuple[str, ...]:
    return OURS_IN_TESTS if lock == "test" else OURS


def _digest(lock: str) -> str:
    """Return the SHA-256 of all that decides what is installed, the place of the checkout included."""
    stated = [ROOT / name / "pyproject.toml" for name in _ours(lock)]
    files = [ROOT / "requirements" / f"{lock}.txt", *stated, Path(__file__)]
    content = b"\0".join([str(ROOT).encode(), *(file.read_bytes() for file in files)])
    return hashlib.sha256(content).hexdigest()


def _uv() -> str | None:
    """Return `uv` where it works: a version manager may leave a command of that name that only fails."""
    found = shutil.which("uv")
    if found and subprocess.run([found, "--version"], check=False, capture_output=True).returncode == 0:
        return found
    return None


def _create(environment: Path) -> None:
    if (environment / "bin" / "python").exists():
        return
    if uv := _uv():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
        return
    made = [sys.executable, "-m", "venv", str(environment)]
    if subprocess.run(made, check=False, capture_output=True).returncode == 0:
        return
    shutil.rmtree(environment, ignore_errors=True)  # what a failed attempt leaves looks like an environment
    # Debian splits venv off into a package of its own.
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SystemExit(f"`{' '.join(made)}` does not work here; install the package {package} and try again")
    print(f"Setting up {package} with apt-get: this Python cannot make virtual environments yet")
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "-q", *arguments], check=True, env=quiet, stdout=subprocess.DEVNULL)
    subprocess.run(made, check=True)


def _install(environment: Path, *arguments: str) -> None:
    python = str(environment / "bin" / "python")
    if uv := _uv():
        command = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        # An environment that uv made has no pip of its own.
        subprocess.run([python, "-m", "ensurepip", "--upgrade"], check=True, stdout=subprocess.DEVNULL)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
