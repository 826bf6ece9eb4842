"""Sends every test picture on its way."""

from collections.abc import Iterator

import dataset


def split(payload: dict) -> Iterator[dict]:
    """Yield one message per picture: its `number` in the test half and its 64 pixels. `limit` sends only the first."""
    _, (pixels, _) = dataset.halves()
    for number, picture in enumerate(pixels[: payload.get("limit")]):
        yield {"number": number, "pixels": picture.astype(int).tolist()}
