"""`python -m tests.fuzz.guided TARGET [SECONDS]`: the same targets under a fuzzer that is led by the lines it reaches.

Needs atheris (`pip install atheris`), which is not among the test requirements: there are wheels of it for few
interpreters. Useful where reading is Python of our own: link, codecs, properties; it sees nothing of msgspec's inside.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Fuzz until something is found or the time is over."""
    try:
        import atheris  # type: ignore[import-not-found]
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=["asya", "asya_sidecar", "asya_runtime"]):
        from tests.fuzz.targets import TARGETS
    target, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    check, make, _ = TARGETS[target]
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(500):
            (Path(folder) / str(number)).write_bytes(make(random.Random(number)))
        atheris.Setup([sys.argv[0], folder, f"-max_total_time={seconds}", "-max_len=4096"], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
