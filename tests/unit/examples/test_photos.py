from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skimage")

Handler = Callable[[str], ModuleType]
ACTORS = ["load", "denoise", "contrast", "upscale", "gate", "sharpen", "sheet"]


def through_upscale(module: ModuleType, payload: dict[str, Any], attempt: int) -> dict[str, Any]:
    call = module.upscale(payload)
    assert next(call) == ("GET", ".status.attempt")
    result: dict[str, Any] = call.send(attempt)
    return result


def through_gate(module: ModuleType, payload: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    verb, path, way = (call := module.gate(payload)).send(None)
    assert (verb, path) == ("SET", ".route.next")
    return way, next(call)


@pytest.fixture
def loaded(handler: Handler, tmp_path: Path) -> dict[str, dict[str, Any]]:
    payload = {"folder": str(tmp_path), "pictures": ["astronaut", "cat"]}
    return {message["picture"]: message for message in handler("photos/load").load(payload)}


def test_every_photograph_is_found_without_network_and_small(handler: Handler, tmp_path: Path) -> None:
    messages = list(handler("photos/load").load({"folder": str(tmp_path)}))
    pictures = handler("photos/denoise").pictures
    assert len(messages) == 12
    assert [message["number"] for message in messages] == list(range(12))
    for message in messages:
        original, before = pictures.read(message["original"]), pictures.read(message["before"])
        assert max(original.shape) <= 512
        assert [2 * side for side in before.shape[:2]] == list(original.shape[:2])


def test_loading_again_writes_the_same_pictures(
    handler: Handler, loaded: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    first = Path(loaded["cat"]["before"]).read_bytes()
    again = list(handler("photos/load").load({"folder": str(tmp_path), "pictures": ["astronaut", "cat"]}))
    assert again == list(loaded.values())
    assert Path(loaded["cat"]["before"]).read_bytes() == first


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"folder": "/x", "pictures": ["cat", "dgo"]}, "no photograph called dgo; there are astronaut"),
        ({"folder": "pictures"}, "must be an absolute path"),
    ],
)
def test_load_says_what_is_wrong(handler: Handler, payload: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(handler("photos/load").load(payload))


@pytest.mark.parametrize(("picture", "way"), [("astronaut", ["sheet"]), ("cat", ["sharpen", "sheet"])])
def test_a_picture_comes_out_closer_to_the_photograph_on_the_way_its_sharpness_asks_for(
    handler: Handler, loaded: dict[str, dict[str, Any]], picture: str, way: list[str]
) -> None:
    payload = loaded[picture]
    for actor in ("denoise", "contrast"):
        payload = getattr(handler(f"photos/{actor}"), actor)(payload)
    payload = through_upscale(handler("photos/upscale"), payload, attempt=2)
    chosen, payload = through_gate(handler("photos/gate"), payload)
    assert chosen == way
    for actor in chosen:
        payload = getattr(handler(f"photos/{actor}"), actor)(payload)
    assert [step["step"] for step in payload["steps"]] == ["denoise", "contrast", "upscale", *way[:-1]]
    assert payload["similarity"]["after"] > payload["similarity"]["before"] + 0.1
    assert Path(payload["tile"]).stat().st_size > 10_000


def test_noise_is_measured_as_it_was_made(handler: Handler, loaded: dict[str, dict[str, Any]]) -> None:
    step = handler("photos/denoise").denoise(loaded["cat"])["steps"][0]
    assert step["noise"] == pytest.approx(0.04, rel=0.15)


@pytest.mark.parametrize(
    ("number", "attempt", "fails"), [(1, 1, True), (4, 1, True), (1, 2, False), (0, 1, False), (2, 1, False)]
)
def test_upscale_fails_on_every_third_pictures_first_attempt_only(
    handler: Handler, loaded: dict[str, dict[str, Any]], number: int, attempt: int, fails: bool
) -> None:
    module = handler("photos/upscale")
    payload = {**loaded["cat"], "number": number}
    if fails:
        with pytest.raises(module.OutOfMemory, match="no room for cat"):
            through_upscale(module, payload, attempt)
    else:
        assert through_upscale(module, payload, attempt)["steps"][-1] == {"step": "upscale", "attempt": attempt}


def test_a_plain_picture_has_no_contrast_to_spread(handler: Handler, loaded: dict[str, dict[str, Any]]) -> None:
    module = handler("photos/contrast")
    payload = loaded["cat"]
    module.pictures.write(Path(payload["image"]), np.full((8, 8, 3), 0.5))
    with pytest.raises(ValueError, match="one plain colour"):
        module.contrast(payload)
