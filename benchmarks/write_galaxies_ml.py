"""Writes HDF5 files in the layout of GalaxiesML, TransferZ-Images and their union.

Names, keys, shapes and types are those of the published files as far as they are known;
the galaxies are round blobs whose colours follow redshift, with white noise: enough for
tests and for timing, not for science. Imports nothing of kphotoz, so that readers are
tested against files that they had no part in.

    python benchmarks/write_galaxies_ml.py FOLDER --set galaxies_ml --count 2000
    python benchmarks/write_galaxies_ml.py FOLDER --set transfer_z --shared 50
"""

import argparse
import pathlib
from collections.abc import Sequence

import h5py
import numpy as np

__all__ = ["KEYS", "NAMES", "draw", "split_sizes", "write", "write_set"]

BANDS = "grizy"
NAMES = {
    "galaxies_ml": (
        "5x{0}x{0}_training_with_morphology.hdf5",
        "5x{0}x{0}_validation_with_morphology.hdf5",
        "5x{0}x{0}_testing_with_morphology.hdf5",
    ),
    "transfer_z": (
        "transferz_5x{0}x{0}_TRAINING.h5",
        "transferz_5x{0}x{0}_VALIDATION.h5",
        "transferz_5x{0}x{0}_TESTING.h5",
    ),
    "combo": (
        "combo_5x{0}x{0}_TRAINING.h5",
        "combo_5x{0}x{0}_VALIDATION.h5",
        "combo_5x{0}x{0}_TESTING.h5",
    ),
}
LABELS = {
    "galaxies_ml": "specz_redshift",
    "transfer_z": "lp_zPDF_CLASSIC",
    "combo": "z_truth",
}
SPECTROSCOPIC = (
    "specz_ra specz_dec specz_name specz_redshift specz_redshift_err "
    "specz_flag_homogeneous specz_mag_i"
).split()
POSITION = "x_coord y_coord x_coord_x x_coord_y y_coord_x y_coord_y".split()
PER_BAND = (
    "cmodel_mag cmodel_magsigma ellipticity half_light_radius isophotal_area "
    "major_axis minor_axis peak_surface_brightness petro_rad pos_angle sersic_index "
    "central_image_pop_5px_rad central_image_pop_10px_rad central_image_pop_15px_rad"
).split()
KEYS = [
    *("object_id", "skymap_id", "coord", "dec", "ra"),
    *SPECTROSCOPIC,
    *POSITION,
    *(f"{band}_{name}" for name in PER_BAND for band in BANDS),
]
SOURCES = (
    "SDSS-DR14-{0}",
    "VIPERS-PDR2-{0}",
    "3DHST-v4-{0}",
    "GAMA-DR3-{0},zCOSMOS-{0}",
)
SHARED = 999  # stream of the galaxies that two sets have in common


def draw(rng: np.random.Generator, count: int, density: float) -> dict[str, np.ndarray]:
    """Returns the columns of `count` galaxies.

    Args:
        rng: numpy Generator.
        count: int.
        density: float [per square degree], which sets the area around the equator.
    """
    width = np.sqrt(max(count, 1) / density)
    z = np.clip(rng.gamma(3.0, 0.2, count), 0.02, 3.9)
    table: dict[str, np.ndarray] = {
        "object_id": rng.integers(36e15, 45e15, count),
        "skymap_id": rng.integers(8e7, 11e7, count),
        "ra": (150.0 + width * (rng.random(count) - 0.5)) % 360,
        "dec": width * (rng.random(count) - 0.5),
    }
    table["coord"] = np.array(
        [f"({a:.6f}, {d:.6f})" for a, d in zip(table["ra"], table["dec"], strict=True)],
        "S",
    ).reshape(count)
    table |= _spectroscopic(rng, table, z)
    for name in POSITION:
        shape = (count,) if name.count("_") == 1 else (count, 2)
        table[name] = rng.uniform(0, 36000, shape).astype(np.float32)
    table |= _per_band(rng, z)
    table["specz_mag_i"] = table["i_cmodel_mag"] + rng.normal(0, 0.05, count)
    table["lp_zPDF_CLASSIC"] = np.clip(
        z + rng.normal(0, 0.02, count) * (1 + z), 0.011, 3.99
    )
    table["z_truth"] = z
    return table


def _spectroscopic(rng, table, z):
    names = [
        SOURCES[k % len(SOURCES)].format(i) for k, i in enumerate(table["object_id"])
    ]
    return {
        "specz_ra": table["ra"] + rng.normal(0, 2e-5, len(z)),
        "specz_dec": table["dec"] + rng.normal(0, 2e-5, len(z)),
        "specz_name": np.array(names, "S").reshape(len(z)),
        "specz_redshift": z,
        "specz_redshift_err": rng.uniform(1e-5, 1e-3, len(z)),
        "specz_flag_homogeneous": np.ones(len(z), bool),
    }


def _per_band(rng, z):
    i_mag = np.clip(
        18.5 + 2.5 * np.log10(1 + 5 * z) * 1.5 + rng.normal(0, 0.8, len(z)), 15, 26
    )
    # Colours that move with redshift, so that a network has something to learn.
    slope = {"g": 1.1, "r": 0.6, "i": 0.0, "z": -0.3, "y": -0.4}
    low, high = (0, 1), (0.5, 20)
    table = {}
    for band in BANDS:
        mag = i_mag + slope[band] * (0.6 + np.tanh(2 * (z - 0.4)))
        table[f"{band}_cmodel_mag"] = mag + rng.normal(0, 0.02, len(z))
        table[f"{band}_cmodel_magsigma"] = 0.002 * 10 ** (0.2 * (mag - 20))
        for name in PER_BAND[2:]:
            span = low if name in ("ellipticity", "sersic_index") else high
            table[f"{band}_{name}"] = rng.uniform(*span, len(z)).astype(np.float32)
    return table


def stamps(
    rng: np.random.Generator, table: dict[str, np.ndarray], size: int
) -> np.ndarray:
    """Returns (n, 5, size, size) float32 images of `table`'s rows, zero point 27."""
    count = len(table["ra"])
    magnitudes = np.stack([table[f"{band}_cmodel_mag"] for band in BANDS], 1)
    flux = (10 ** (0.4 * (27.0 - magnitudes))).astype(np.float32)
    width = (1.5 + 0.15 * table["i_half_light_radius"]).astype(np.float32)
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    line = np.exp(-0.5 * (axis / width[:, None]) ** 2)
    blob = line[:, :, None] * line[:, None, :]
    blob /= blob.sum((1, 2), keepdims=True)
    images = flux[:, :, None, None] * blob[:, None]
    images += rng.standard_normal(images.shape, np.float32) * np.float32(0.05)
    return images.reshape(count, len(BANDS), size, size)


def write(
    path: pathlib.Path,
    table: dict[str, np.ndarray],
    keys: Sequence[str],
    size: int,
    seed: int = 0,
    compression: str | None = None,
) -> None:
    """Writes one file: images chunk by chunk, then the columns `keys`."""
    rng, count = np.random.default_rng([seed, 7]), len(table["ra"])
    shape = (count, len(BANDS), size, size)
    options = {"compression": compression} if compression else {}
    with h5py.File(path, "w", libver="latest") as file:
        images = file.create_dataset("image", shape, np.float32, **options)
        for start in range(0, count, 512):
            part = {key: column[start : start + 512] for key, column in table.items()}
            images[start : start + 512] = stamps(rng, part, size)
        for key in keys:
            file[key] = table[key]


def split_sizes(count: int) -> tuple[int, int, int]:
    """Returns the sizes of training, validation and testing, 5 : 1 : 1."""
    part = count // 7
    return count - 2 * part, part, part


def write_set(
    folder: pathlib.Path,
    name: str,
    sizes: Sequence[int],
    image_size: int = 64,
    seed: int = 0,
    shared: int = 0,
    density: float = 1000.0,
    compression: str | None = None,
) -> list[pathlib.Path]:
    """Writes the three files of a set and returns their paths.

    Args:
        folder: path, made where it is missing.
        name: "galaxies_ml", "transfer_z" or "combo".
        sizes: (int, int, int). Galaxies in training, validation and testing.
        image_size: int. Pixels a side.
        seed: int. Another seed has other galaxies.
        shared: int. The first so many training galaxies are the same in every set of
            this seed; their positions differ by about 0.1 arcsec from set to set.
        density: float [per square degree].
        compression: h5py's, such as "gzip". [default: none]
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = list(NAMES).index(name)
    rng = np.random.default_rng([seed, number])
    table = draw(rng, sum(sizes), density)
    if shared:
        common = draw(np.random.default_rng([seed, SHARED]), shared, density)
        for key in ("ra", "dec"):
            common[key] = common[key] + rng.normal(0, 2e-5, shared)
        table = {
            key: np.concatenate([common[key], column[shared:]])
            for key, column in table.items()
        }
    keys = [key for key in KEYS if name == "galaxies_ml" or key not in SPECTROSCOPIC]
    if LABELS[name] not in keys:
        keys.append(LABELS[name])
    paths, start = [], 0
    for pattern, size in zip(NAMES[name], sizes, strict=True):
        path = folder / pattern.format(image_size)
        part = {key: column[start : start + size] for key, column in table.items()}
        write(path, part, keys, image_size, seed + start, compression)
        paths.append(path)
        start += size
    return paths


def main() -> None:
    """Writes what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument(
        "--set", dest="name", choices=list(NAMES), default="galaxies_ml"
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared", type=int, default=0)
    parser.add_argument("--density", type=float, default=1000.0)
    chosen = parser.parse_args()
    sizes = split_sizes(chosen.count)
    paths = write_set(
        chosen.folder, chosen.name, sizes, chosen.size, chosen.seed, chosen.shared,
        chosen.density,
    )  # fmt: skip
    print("\n".join(f"{path} {path.stat().st_size / 1e6:.1f} MB" for path in paths))


if __name__ == "__main__":
    main()
