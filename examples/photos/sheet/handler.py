"""The end of the way: before and after side by side, and how close the result came to the photograph."""

from pathlib import Path

import numpy as np
import pictures
from PIL import Image
from skimage.metrics import structural_similarity

GAP = 8


def sheet(payload: dict) -> dict:
    after = pictures.to_image(pictures.read(payload["image"]))
    with Image.open(payload["before"]) as small:
        before = small.convert("RGB").resize(after.size, Image.Resampling.BICUBIC)
    original = pictures.read(payload["original"])
    return {
        **payload,
        "tile": pictures.write(Path(payload["folder"]) / "tile.png", side_by_side(before, after)),
        "similarity": {"before": likeness(original, before), "after": likeness(original, after)},
    }


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    tile = Image.new("RGB", (before.width + GAP + after.width, after.height), "white")
    tile.paste(before, (0, 0))
    tile.paste(after, (before.width + GAP, 0))
    return tile


def likeness(original: np.ndarray, image: Image.Image) -> float:
    """Return the structural similarity, 1 for equal pictures (Wang et al. 2004)."""
    pixels = np.asarray(image, dtype=np.float64) / 255
    return round(float(structural_similarity(original, pixels, channel_axis=-1, data_range=1)), 3)
