"""Takes the noise out by averaging patches that look alike (non-local means, Buades et al. 2005)."""

import numpy as np
import pictures
from scipy.ndimage import convolve
from skimage.restoration import denoise_nl_means


def denoise(payload: dict) -> dict:
    noisy = pictures.read(payload["image"])
    sigma = noise_level(noisy)
    clean = denoise_nl_means(
        noisy, h=0.8 * sigma, sigma=sigma, fast_mode=True, patch_size=5, patch_distance=9, channel_axis=-1
    )
    return pictures.step(payload, "denoise", clean, noise=round(sigma, 4))


def noise_level(pixels: np.ndarray) -> float:
    """Return the standard deviation of the noise, from what a second difference leaves (Immerkaer 1996)."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    left = [np.abs(convolve(pixels[..., channel], mask)[1:-1, 1:-1]).mean() for channel in range(pixels.shape[-1])]
    return float(np.sqrt(np.pi / 2) / 6 * np.mean(left))
