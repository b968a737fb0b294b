"""Fits the density of real HSC spectroscopic galaxies; for developers only.

Reads the 429,235 triplets (i, g - z, redshift) of HSC PDR2 galaxies that the wheel of
pz-rail-astro-tools 2.0.5 (MIT licence) holds at
``rail/examples_data/creation_data/data/hsc_ratios_and_specz.hdf5`` and writes
``hsc_density.npz``: the weights, means and covariances of a Gaussian mixture in
(ln(1 + z), i, g - z). The triplets themselves are not shipped.

Command: ``python -m kphotoz_datasets.simulate.fit_hsc_density TRIPLETS.hdf5``
"""

import pathlib
import sys

import h5py
import numpy as np

__all__ = ["fit"]

COMPONENTS = 48  # our choice: the likelihood of held-out triplets is flat from here


def fit(path: str, components: int = COMPONENTS, seed: int = 0) -> dict:
    """Returns the mixture of the triplets inside the cuts, as arrays.

    Args:
        path: str. The HDF5 file of triplets.
        components: int. [default: 48]
        seed: int. Of the 100,000 rows used and of the start. [default: 0]
    """
    from sklearn.mixture import GaussianMixture

    with h5py.File(path) as file:
        magnitude, colour, z = file["data/block0_values"][:].T
    keep = (magnitude > 17) & (magnitude < 25) & (abs(colour) < 5)
    keep &= (z > 0.01) & (z < 4)
    rows = np.stack([np.log1p(z), magnitude, colour], 1)[keep]
    rows = np.random.default_rng(seed).permutation(rows)
    train, held_out = rows[:100_000], rows[100_000:150_000]
    model = GaussianMixture(components, random_state=seed, reg_covar=1e-5, tol=1e-3)
    model.fit(train)
    return {
        "weights": model.weights_,
        "means": model.means_,
        "covariances": model.covariances_,
        "held_out_log_likelihood": np.array(model.score(held_out)),
    }


if __name__ == "__main__":
    mixture = fit(sys.argv[1])
    np.savez(pathlib.Path(__file__).with_name("hsc_density.npz"), **mixture)
