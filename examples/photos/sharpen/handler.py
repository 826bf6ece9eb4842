"""Brings edges out (unsharp mask)."""

import pictures
from PIL import Image, ImageFilter


def sharpen(payload: dict) -> dict:
    with Image.open(payload["image"]) as soft:
        return pictures.step(
            payload, "sharpen", soft.filter(ImageFilter.UnsharpMask(radius=2, percent=80, threshold=2))
        )
