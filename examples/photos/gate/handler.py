"""Looks how sharp the picture is and chooses the rest of its way."""

from collections.abc import Generator
from typing import Any

import pictures
from skimage.measure import blur_effect

BLURRED = 0.5


def gate(payload: dict) -> Generator[Any, Any, None]:
    blur = float(blur_effect(pictures.read(payload["image"]), channel_axis=-1))
    way = ["sharpen", "sheet"] if blur > BLURRED else ["sheet"]
    yield "SET", ".route.next", way
    yield {**payload, "blur": round(blur, 3), "way": way}
