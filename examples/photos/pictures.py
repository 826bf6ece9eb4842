"""Pictures on disk, and the little arithmetic that more than one actor needs."""

from pathlib import Path

import numpy as np
from PIL import Image


def read(path: str | Path) -> np.ndarray:
    """Read a picture as an array (height, width, 3) of floats from 0 to 1."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float64) / 255


def to_image(pixels: np.ndarray) -> Image.Image:
    """Turn an array (height, width, 3) of floats into an 8-bit picture; what is outside 0..1 is cut."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))


def write(path: Path, pixels: np.ndarray | Image.Image) -> str:
    """Write a PNG in one piece: whoever reads the path sees the whole picture or none."""
    image = pixels if isinstance(pixels, Image.Image) else to_image(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    image.save(unfinished, format="PNG")
    unfinished.replace(path)
    return str(path)


def step(payload: dict, name: str, pixels: np.ndarray | Image.Image, **found: float) -> dict:
    """Write the picture a step has made and return the payload that points to it."""
    path = write(Path(payload["folder"]) / f"{name}.png", pixels)
    return {**payload, "image": path, "steps": [*payload["steps"], {"step": name, **found}]}
