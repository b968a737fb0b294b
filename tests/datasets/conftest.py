import collections.abc
import importlib.util
import pathlib

import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds

from kphotoz_datasets.combined_z import combined_z_dataset_builder
from kphotoz_datasets.galaxies_ml import galaxies_ml_dataset_builder
from kphotoz_datasets.transfer_z import transfer_z_dataset_builder

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "write_galaxies_ml.py"
MODULES = {
    "galaxies_ml": galaxies_ml_dataset_builder,
    "transfer_z": transfer_z_dataset_builder,
    "combined_z": combined_z_dataset_builder,
}


def _load():
    spec = importlib.util.spec_from_file_location("write_galaxies_ml", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def layout():
    """The script that writes files of the real layout; it imports no reader of ours."""
    return _load()


class Manual:
    """A folder of files in the real layout, changed and built by tests."""

    def __init__(self, folder, layout):
        self.folder = folder
        self.layout = layout

    def write(self, name="galaxies_ml", sizes=(24, 8, 8), **options):
        """Writes a set, by default so thin that nothing has a neighbour."""
        target = self.folder / {"combo": "combined_z"}.get(name, name)
        options = {"density": 1.0} | options
        return self.layout.write_set(target, name, sizes, **options)

    def change(self, path, **columns):
        """Replaces columns; None removes one, a dict of row to value changes rows."""
        with h5py.File(path, "r+") as file:
            for key, value in columns.items():
                if isinstance(value, dict):
                    value, rows = file[key][:], value
                    if value.dtype.kind == "S":
                        value = value.astype("S80")
                    for row, one in rows.items():
                        value[row] = one
                if key in file:
                    del file[key]
                if value is not None:
                    file[key] = value

    def builder(self, survey="galaxies_ml", config="magnitudes", **options):
        chosen = MODULES[survey].config(config, manual_dir=self.folder, **options)
        return MODULES[survey].Builder(config=chosen, data_dir=self.folder / "tfds")

    def build(self, *names, **options):
        """Returns the builder, and the columns of each split by feature name."""
        builder = self.builder(*names, **options)
        builder.download_and_prepare()
        return builder, Splits(builder)


class Splits(collections.abc.Mapping):
    """Split to its columns, read when asked for: TFDS takes a second for a split."""

    def __init__(self, builder):
        self.builder = builder
        self.known = {}

    def __iter__(self):
        return iter(self.builder.info.splits)

    def __len__(self):
        return len(self.builder.info.splits)

    def __getitem__(self, split):
        if split not in self.known:
            data = self.builder.as_dataset(split=split, shuffle_files=False)
            rows = list(tfds.as_numpy(data))
            columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
            self.known[split] = columns
        return self.known[split]


@pytest.fixture
def manual(tmp_path, layout):
    return Manual(tmp_path, layout)
