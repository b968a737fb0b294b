import csv

import h5py
import numpy as np
import pytest
from astropy.io import fits

BANDS = ("g", "r", "i", "z")


def cutouts(rows=6, bands=4, size=16):
    """Returns band-first images and their columns, made from a fixed seed."""
    images = np.random.default_rng(5).normal(1, 0.2, (rows, bands, size, size))
    return images.astype(np.float32), {
        "redshift": np.linspace(0.1, 0.6, rows),
        "id": np.array([f"n{row}" for row in range(rows)]),
    }


def write_hdf5(folder, images, columns):
    path = folder / "cutouts.h5"
    with h5py.File(path, "w") as file:
        file["images"] = images
        file["images"].attrs["bands"] = ",".join(BANDS[: images.shape[1]])
        for name, column in columns.items():
            is_text = column.dtype.kind == "U"
            file[name] = column.astype("S") if is_text else column
    return path


def write_npz(folder, images, columns):
    path = folder / "cutouts.npz"
    np.savez_compressed(path, images=images, **columns)
    return path


def write_fits(folder, images, columns):
    path = folder / "cutouts"
    path.mkdir()
    names = [f"{row}.fits" for row in range(len(images))]
    for name, image in zip(names, images, strict=True):
        fits.PrimaryHDU(image).writeto(path / name)
    with open(path / "table.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *columns])
        writer.writerows(zip(names, *columns.values(), strict=True))
    return path


WRITERS = {"hdf5": write_hdf5, "npz": write_npz, "fits": write_fits}


@pytest.fixture
def make_file(tmp_path):
    """Returns a function that writes cutouts; images and columns can be replaced."""

    def make(kind, images=None, folder="", **changed):
        base = tmp_path / folder
        base.mkdir(exist_ok=True)
        wanted, columns = cutouts()
        images = wanted if images is None else images
        columns = {k: v for k, v in (columns | changed).items() if v is not None}
        return WRITERS[kind](base, images, columns)

    return make


@pytest.fixture(scope="session")
def plain_cutouts():
    return cutouts
