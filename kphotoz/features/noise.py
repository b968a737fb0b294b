"""Pixel noise of a stack of images."""

import numpy as np

__all__ = ["image_noise", "noise_sigma"]


def noise_sigma(images: np.ndarray) -> np.ndarray:
    """Returns the typical noise of a pixel in each band.

    The result is the median of `image_noise` over images. A band without noise gets
    1e-3 of its largest absolute pixel, and 1 if that is zero too, so that the result
    can always be divided by.

    Args:
        images: float array `(n, height, width, band)`, any flux unit.

    Returns:
        float64 array `(band,)`, the unit of the images.
    """
    images = np.asarray(images, "float32")
    band = images.shape[-1]
    sigma = np.median(image_noise(images), axis=0).astype("float64")
    peak = np.abs(images).reshape(-1, band).max(axis=0).astype("float64")
    floor = np.where(peak > 0, 1e-3 * peak, 1.0)
    # The floor is for noise-free bands only: a bright neighbour must not raise it.
    return np.where(sigma > 0, sigma, floor)


def image_noise(images: np.ndarray) -> np.ndarray:
    """Returns the noise of a pixel of each image in each band, 0 where there is none.

    It is 1.4826 times the median absolute value about the median of the image's outer
    frame (an eighth of each side), which objects hardly reach.

    Args:
        images: float array `(n, height, width, band)`, any flux unit.

    Returns:
        float32 array `(n, band)`, the unit of the images.
    """
    images = np.asarray(images, "float32")
    height, width = images.shape[1:3]
    frame = np.ones((height, width), bool)
    rows, columns = max(height // 8, 1), max(width // 8, 1)
    if height > 2 * rows and width > 2 * columns:
        frame[rows:-rows, columns:-columns] = False
    pixels = images[:, frame]
    middle = np.median(pixels, axis=1, keepdims=True)
    return 1.4826 * np.median(np.abs(pixels - middle), axis=1)
