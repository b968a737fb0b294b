"""Columns of any type and shape give one InputError or a result; nothing else."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kphotoz.errors import InputError
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.importing import row_flags, row_groups
from kphotoz.files_in.readers import ImageFile

ROWS = 3
COLUMNS = {
    "images": np.random.default_rng(2).normal(1, 0.2, (ROWS, 2, 16, 16)).astype("f4"),
    "redshift": np.linspace(0.1, 0.9, ROWS),
    "id": np.array([b"a1", b"b2", b"c3"]),
    "dec": np.zeros(ROWS),
}


def use(spec):
    """Does all that import and prediction do with a file."""
    try:
        with ImageFile(spec) as file:
            file.require("redshift")
            row_groups(file)
            assert len(row_flags(file)) == len(file.table["id"]) == len(file)
    except InputError as error:
        assert "\n" not in str(error) and "Wanted" in str(error)


@pytest.mark.parametrize("kind", ["h5", "npz"])
def test_columns_of_any_type_and_shape_are_used_or_refused(tmp_path, kind):
    kinds = ["f2", "f8", ">f4", "i1", "u8", "?", "c8", "S3", "U2", "m8[s]"]
    targets = ["images", "redshift", "id", "group", "ra", "bands"]
    shapes = [(), (0,), (3,), (4,), (3, 2), (3, 2, 16, 16), (3, 16, 16, 2)]
    path = tmp_path / f"swapped.{kind}"
    count = 10 if kind == "h5" else 40

    @settings(max_examples=count, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from(kinds), st.sampled_from(targets), st.sampled_from(shapes))
    def swap(dtype, target, shape):
        columns = COLUMNS | {target: np.ones(shape).astype(dtype)}
        if kind == "npz":
            np.savez(path, **columns)
        else:
            columns = {k: v for k, v in columns.items() if v.dtype.kind not in "Um"}
            with h5py.File(path, "w") as file:
                for name, column in columns.items():
                    file[name] = column
        use(FileSpec.create(file=path, bands=("g", "r"), pixel_scale=0.2))

    swap()
