"""The demo against a real `asya up`: two photographs, and what it says when the mesh does not come up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("skimage")

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools"))

from demonstration import photos  # noqa: E402
from demonstration.mesh import DemoError, running  # noqa: E402
from demonstration.progress import Progress  # noqa: E402


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_two_photographs_pass_the_mesh_one_is_tried_again_and_all_processes_go(tmp_path: Path) -> None:
    run = photos.run(ROOT / "examples", tmp_path, Progress(), pictures=["astronaut", "cat"])
    assert run.complete
    astronaut, cat = run.photos
    assert (astronaut.way, cat.way) == (("sheet",), ("sharpen", "sheet"))
    assert [(hop.actor, hop.attempt, hop.failed) for hop in cat.trace.hops if hop.actor == "upscale"] == [
        ("upscale", 1, True),
        ("upscale", 2, False),
    ]
    assert not any(hop.failed for hop in astronaut.trace.hops)
    assert astronaut.trace.id == run.root.id, "the first result keeps the id"
    for actor in photos.ACTORS:
        counts = [sample.replicas[actor] for sample in run.samples]
        assert (counts[0], counts[-1]) == (0, 0)
        assert max(counts) >= 1


def test_a_mesh_that_cannot_begin_is_an_error_that_says_why(tmp_path: Path) -> None:
    example = tmp_path / "broken"
    example.mkdir()
    (example / "actor.yaml").write_text("apiVersion: asya.sh/v1alpha1\nkind: AsyncActor\nspec: {imag: b}\n")
    with pytest.raises(DemoError) as caught, running(example, tmp_path / "state", {}):
        pytest.fail("there is nothing to use")
    assert "exit code 1" in str(caught.value)
    assert str(tmp_path / "state.log") in str(caught.value)
    assert "spec.handler: missing" in str(caught.value)
