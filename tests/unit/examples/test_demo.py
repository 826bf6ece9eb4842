"""The demo against a real `asya up`: two photographs, and what it says when the mesh does not come up."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("skimage")

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools"))

from demonstration import photos  # noqa: E402
from demonstration.mesh import DemoError, Queues, running  # noqa: E402
from demonstration.progress import Progress  # noqa: E402
from demonstration.queues import TRANSPORTS, queues  # noqa: E402

SQLITE = Queues(transport="sqlite", variables={})


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_two_photographs_pass_the_mesh_one_is_tried_again_and_all_processes_go(tmp_path: Path) -> None:
    run = photos.run(ROOT / "examples", tmp_path, SQLITE, Progress(), pictures=["astronaut", "cat"])
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


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("transport", [name for name in TRANSPORTS if name != "sqlite"])
def test_photographs_pass_the_same_mesh_on_every_transport(tmp_path: Path, transport: str) -> None:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        # Somebody's own mesh and account, which this is not meant for.
        patch.setenv("ASYA_QUEUE_NAMES", "dash")
        patch.setenv("AWS_PROFILE", "nobody")
        try:
            where = stack.enter_context(queues(transport, os.environ))
        except DemoError as error:
            if os.environ.get("CI") == "true" and transport != "pubsub":
                raise
            pytest.skip(str(error))
        run = photos.run(ROOT / "examples", tmp_path, where, Progress(), pictures=["astronaut", "cat"])
    assert run.complete
    assert [photo.way for photo in run.photos] == [("sheet",), ("sharpen", "sheet")]
    assert sum(hop.failed for hop in run.photos[1].trace.hops) == 1
    for actor in photos.ACTORS:
        assert run.samples[-1].replicas[actor] == 0


@pytest.mark.parametrize(
    ("transport", "lacking"),
    [
        ("rabbitmq", "rabbitmq-server is missing"),
        ("redis", "redis-server is missing"),
        ("sqs", "moto, which plays SQS"),
    ],
)
def test_a_server_that_cannot_be_had_is_named_with_what_to_do(
    transport: str, lacking: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tests.support.rabbitmq.SERVER", tmp_path / "nothing")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DemoError, match=lacking), queues(transport, {}):
        pytest.fail("there is nothing to use")


def test_an_emulator_that_cannot_be_had_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tests.support.pubsub.FOLDERS", (tmp_path,))
    with pytest.raises(DemoError, match="google-cloud-cli-pubsub-emulator"), queues("pubsub", {}):
        pytest.fail("there is nothing to use")


def test_a_server_of_ones_own_is_used_when_named() -> None:
    given = {
        "rabbitmq": "ASYA_TEST_RABBITMQ_URL",
        "redis": "ASYA_TEST_REDIS_URL",
        "pubsub": "ASYA_TEST_PUBSUB_ENDPOINT",
    }
    for transport, name in given.items():
        with queues(transport, {name: "mine"}) as where:
            assert "mine" in where.variables.values()


def test_a_mesh_that_cannot_begin_is_an_error_that_says_why(tmp_path: Path) -> None:
    example = tmp_path / "broken"
    example.mkdir()
    (example / "actor.yaml").write_text("apiVersion: asya.sh/v1alpha1\nkind: AsyncActor\nspec: {imag: b}\n")
    with pytest.raises(DemoError) as caught, running(example, tmp_path / "state", SQLITE, {}):
        pytest.fail("there is nothing to use")
    assert "exit code 1" in str(caught.value)
    assert str(tmp_path / "state.log") in str(caught.value)
    assert "spec.handler: missing" in str(caught.value)
