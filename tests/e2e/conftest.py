"""What the end-to-end tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.otel import Collector, CollectorUnavailableError, collector, program


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Collector]:
    """A real OpenTelemetry Collector; skipped where it cannot be built, except with CI=true."""
    try:
        program(os.environ)
    except CollectorUnavailableError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with collector(tmp_path / "collector", os.environ) as running:
        yield running
