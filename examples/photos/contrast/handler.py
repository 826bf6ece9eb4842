"""Spreads the brightness so that nearly black is black and nearly white is white."""

import numpy as np
import pictures

CUT_PERCENT = 0.5


def contrast(payload: dict) -> dict:
    dim = pictures.read(payload["image"])
    black, white = np.percentile(dim, (CUT_PERCENT, 100 - CUT_PERCENT))
    if white <= black:
        raise ValueError(f"{payload['picture']} is one plain colour: there is no contrast to spread")
    return pictures.step(
        payload, "contrast", (dim - black) / (white - black), black=round(float(black), 3), white=round(float(white), 3)
    )
