"""Finds the photographs inside the scikit-image package and sends each on its way."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pictures
import skimage
from PIL import Image

# All of these are inside the wheel; skimage.data's other pictures would be fetched from the network.
PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "camera": "camera.png",
    "cat": "chelsea.png",
    "clock": "clock_motion.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "galaxies": "hubble_deep_field.jpg",
    "tissue": "ihc.png",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}
LONGEST_SIDE = 480
SCALE = 2
BLACK, LIGHT, NOISE = 0.12, 0.5, 0.04


def load(payload: dict) -> Iterator[dict]:
    """Yield one message per photograph.

    Takes `folder`, an absolute path below which the pictures are written, and `pictures`, their names (default: all).
    """
    folder = Path(payload["folder"])
    if not folder.is_absolute():
        raise ValueError(f"folder is {str(folder)!r}; the actors share it, so it must be an absolute path")
    names = payload.get("pictures", list(PHOTOGRAPHS))
    unknown = sorted(set(names) - set(PHOTOGRAPHS))
    if unknown:
        raise ValueError(f"no photograph called {', '.join(unknown)}; there are {', '.join(PHOTOGRAPHS)}")
    for number, name in enumerate(names):
        yield prepare(name, number, folder / name)


def prepare(name: str, number: int, folder: Path) -> dict:
    photograph = Image.open(Path(skimage.__file__).parent / "data" / PHOTOGRAPHS[name]).convert("RGB")
    photograph.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    width, height = photograph.width // SCALE, photograph.height // SCALE
    photograph = photograph.crop((0, 0, width * SCALE, height * SCALE))
    small = photograph.resize((width, height), Image.Resampling.LANCZOS)
    before = pictures.write(folder / "before.png", at_dusk(np.asarray(small) / 255, seed=zlib.crc32(name.encode())))
    return {
        "picture": name,
        "number": number,
        "folder": str(folder),
        "original": pictures.write(folder / "original.png", photograph),
        "before": before,
        "image": before,
        "steps": [],
    }


def at_dusk(pixels: np.ndarray, *, seed: int) -> np.ndarray:
    """Make a picture (floats from 0 to 1) flat, dim and noisy; the same seed gives the same noise."""
    noise = np.random.default_rng(seed).normal(0, NOISE, pixels.shape)
    return BLACK + LIGHT * pixels + noise
