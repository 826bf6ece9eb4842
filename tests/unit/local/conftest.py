from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.local.story import Story


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story = Story(tmp_path / "tasks.db")
    yield story
    story.db.close()
