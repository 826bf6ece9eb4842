"""Scikit-learn's handwritten digits: 1,797 pictures of 8 x 8 pixels in a fixed order; the second half is for tests."""

import numpy as np
from sklearn.datasets import load_digits


def halves() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (pixels, labels) to learn from and (pixels, labels) to test with; pixels are (n, 64) from 0 to 16."""
    digits = load_digits()
    middle = len(digits.data) // 2
    return (digits.data[:middle], digits.target[:middle]), (digits.data[middle:], digits.target[middle:])
