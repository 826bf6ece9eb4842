"""Run the examples on this machine and write one HTML page about it: what `make demo` calls.

Exit code 0 only when every picture came through and every digit was answered, 1 when the mesh did not do its work,
130 after Ctrl-C.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

from demonstration import digits, page, photos, printed
from demonstration.mesh import DemoError
from demonstration.progress import Progress

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "demo"
# Support vector machines on this split reach 0.969; much less means that answers and pictures were mixed up.
LEAST_ACCURACY = 0.95


def main() -> int:
    """Run the demo unless one is running already; return the exit code."""
    progress = Progress()
    BUILD.parent.mkdir(exist_ok=True)
    # Held until the process ends: a second demo in this checkout would remove the first one's files under its feet.
    lock = BUILD.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress.say(f"Another demo is running in {BUILD}; wait for it, or stop it with Ctrl-C")
        return 1
    with lock:
        return demonstrate(progress)


def demonstrate(progress: Progress) -> int:
    """Run all examples in a fresh folder; return the exit code."""
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    try:
        seen = photos.run(ROOT / "examples", BUILD, progress)
        read = digits.run(ROOT / "examples", BUILD, progress)
        verbatim = printed.run(ROOT / "tests" / "fixtures" / "seeds", BUILD, progress)
    except DemoError as error:
        progress.say(f"The demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say("Stopped; nothing is left running")
        return 130
    report = BUILD / "report.html"
    report.write_text(page.render(seen, read, verbatim), encoding="utf-8")
    progress.say(f"{len(seen.photos)} of {seen.expected} photographs came through")
    progress.say(f"{read.accuracy:.1%} of {read.total} digits were read rightly")
    progress.say(f"Report: {report}")
    return 0 if seen.complete and read.accuracy >= LEAST_ACCURACY else 1


if __name__ == "__main__":
    sys.exit(main())
