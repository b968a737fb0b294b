import csv
import hashlib

import h5py
import numpy as np
import pytest
from astropy.io import fits


@pytest.fixture(scope="session")
def survey_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    patch = pytest.MonkeyPatch()
    patch.setenv("TFDS_DATA_DIR", str(folder))
    yield folder
    patch.undo()


def example(number):
    """Returns one example made from nothing but its number: the oracle of the tests."""
    rng = np.random.default_rng(number)
    return {
        "image": rng.normal(1.0, 0.1, (16, 16, 4)).astype(np.float32),
        "redshift": np.float32(rng.uniform(0, 2)),
        "redshift_error": np.float32(0.01 * number),
        "z_true": np.float32("nan"),
        "magnitude": np.float32(20 + number / 10),
        "id": f"object-{number}",
        "group": hashlib.sha256(bytes([number // 2])).hexdigest()[:8],
    }


@pytest.fixture(scope="session")
def make_example():
    return example


@pytest.fixture(scope="session")
def tiny(survey_folder):
    """A survey of 40 training and 10 test examples, without the other two splits."""
    import tensorflow_datasets as tfds

    from kphotoz.data.survey import build_survey, open_builder

    class TinySky(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = survey_folder

        def _info(self):
            image = tfds.features.Tensor(
                shape=(16, 16, 4), dtype=np.float32, encoding="bytes"
            )
            names = ("redshift", "redshift_error", "z_true", "magnitude")
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {"image": image, "id": tfds.features.Text()}
                    | {"group": tfds.features.Text()}
                    | dict.fromkeys(names, np.float32)
                ),
                metadata=tfds.core.MetadataDict(
                    bands=["g", "r", "i", "z"],
                    pixel_scale=0.2,
                    unit="nanomaggy",
                    label_kind="spectroscopic",
                ),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {"train": self._some(0, 40), "test": self._some(40, 50)}

        def _generate_examples(self):
            return self._some(0, 0)

        def _some(self, start, stop):
            return ((number, example(number)) for number in range(start, stop))

    builder = TinySky(data_dir=survey_folder)
    build_survey(builder)
    return open_builder(builder, "tiny_sky")


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
