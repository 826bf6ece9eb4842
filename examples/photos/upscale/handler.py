"""Makes the picture twice as large. Every third one runs out of memory at first: what then, is said in the manifest."""

from collections.abc import Generator
from typing import Any

import pictures
from PIL import Image

SCALE = 2


class OutOfMemory(Exception):
    """Stands for a graphics card that is full for a moment. Trying again helps."""


def upscale(payload: dict) -> Generator[Any, Any, None]:
    attempt = yield "GET", ".status.attempt"
    if payload["number"] % 3 == 1 and attempt == 1:
        raise OutOfMemory(f"no room for {payload['picture']} on the card just now")
    with Image.open(payload["image"]) as small:
        large = small.resize((small.width * SCALE, small.height * SCALE), Image.Resampling.LANCZOS)
    yield pictures.step(payload, "upscale", large, attempt=attempt)
