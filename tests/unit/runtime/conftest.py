from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.runtime.fake_sidecar import FakeSidecar


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    """A listening sidecar; `start` runs a runtime for it."""
    # Not tmp_path: a socket's path may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="asya-") as folder:
        fake = FakeSidecar(Path(folder))
        yield fake
        fake.close()
