"""Damaged files give one InputError or a result, never another exception or a hang.

Whole bytes are flipped, cut out, doubled or swapped in small valid files. Hypothesis is
derandomised: every run tries the same files.
"""

import csv
import io

import h5py
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from kphotoz.data.file_spec import FileSpec
from kphotoz.data.importing import row_flags, row_groups
from kphotoz.data.readers import ImageFile
from kphotoz.errors import InputError

ROWS = 3
IMAGES = np.random.default_rng(2).normal(1, 0.2, (ROWS, 2, 16, 16)).astype("f4")
REDSHIFT = np.linspace(0.1, 0.9, ROWS)
IDS = np.array([b"a1", b"b2", b"c3"])


def hdf5_bytes():
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("images", data=IMAGES, chunks=(1, 2, 16, 16), shuffle=True)
        file.create_dataset("redshift", data=REDSHIFT)
        file.create_dataset("id", data=IDS, compression="gzip")
        file["images"].attrs["bands"] = "g,r"
    return stream.getvalue()


def npz_bytes(save=np.savez):
    stream = io.BytesIO()
    save(stream, images=IMAGES, redshift=REDSHIFT, id=IDS)
    return stream.getvalue()


def fits_bytes():
    stream = io.BytesIO()
    fits.PrimaryHDU(IMAGES[0]).writeto(stream)
    return stream.getvalue()


def fits_table_bytes():
    columns = [
        fits.Column("image", "8A", array=["a.fits"] * ROWS),
        fits.Column("redshift", "D", array=REDSHIFT),
        fits.Column("id", "4A", array=IDS.astype("U")),
    ]
    stream = io.BytesIO()
    fits.BinTableHDU.from_columns(columns).writeto(stream)
    return stream.getvalue()


def csv_bytes():
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["image", "redshift", "id"])
    writer.writerows(["a.fits", z, f"n{row}"] for row, z in enumerate(REDSHIFT))
    return stream.getvalue().encode()


def parquet_bytes():
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    columns = {"image": ["a.fits"] * ROWS, "redshift": REDSHIFT, "id": ["a", "b", "c"]}
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


def use(spec):
    """Does all that import and prediction do with a file; returns what came of it."""
    try:
        with ImageFile(spec) as file:
            file.require("redshift")
            row_groups(file)
            assert len(row_flags(file)) == len(file.table["id"]) == len(file)
        return "used"
    except InputError as error:
        assert "\n" not in str(error) and "Wanted" in str(error)
        return "refused"


FILES = {
    "cutouts.h5": hdf5_bytes,
    "cutouts.npz": npz_bytes,
    "compressed.npz": lambda: npz_bytes(np.savez_compressed),
    "a.fits": fits_bytes,
    "table.fits": fits_table_bytes,
    "table.csv": csv_bytes,
    "table.parquet": parquet_bytes,
}


@pytest.mark.parametrize("name", list(FILES))
def test_mutated_file_is_used_or_refused(tmp_path, damage, name):
    content = FILES[name]()
    alone = name.endswith((".h5", ".npz"))
    if name.startswith("table"):
        (tmp_path / "a.fits").write_bytes(fits_bytes())
    if name == "a.fits":
        (tmp_path / "table.csv").write_bytes(csv_bytes())
    spec = FileSpec.create(
        file=tmp_path / name if alone else tmp_path, bands=("g", "r")
    )
    (tmp_path / name).write_bytes(content)
    assert use(spec) == "used"
    seen = set()

    # HDF5 takes a process for each file; tests/hostile has more of it.
    @damage.quick(9 if name.endswith(".h5") else 45)
    @given(damage.CHANGES)
    def mutate(changes):
        (tmp_path / name).write_bytes(damage.mutated(content, changes))
        seen.add(use(spec))

    mutate()
    assert "refused" in seen


def test_mutated_description_is_used_or_refused(tmp_path, damage):
    path = tmp_path / "survey.yaml"
    content = (
        b"file: cutouts.npz\nbands: [g, r]\npixel_scale: 0.2\nkeys: {redshift: z}\n"
        b"zero_point: [22.5, 22.5]\nextinction: none\nsplits: [0.6, 0.1, 0.1, 0.2]\n"
    )

    @damage.quick(45)
    @given(damage.CHANGES)
    def mutate(changes):
        path.write_bytes(damage.mutated(content, changes))
        try:
            FileSpec.from_yaml(path)
        except InputError as error:
            assert "\n" not in str(error)

    mutate()


@pytest.mark.parametrize("kind", ["h5", "npz"])
def test_columns_of_any_type_and_shape_are_used_or_refused(tmp_path, damage, kind):
    kinds = ["f2", "f8", ">f4", "i1", "u8", "?", "c8", "S3", "U2", "m8[s]"]
    targets = ["images", "redshift", "id", "group", "ra", "bands"]
    shapes = [(), (0,), (3,), (4,), (3, 2), (3, 2, 16, 16), (3, 16, 16, 2)]
    path = tmp_path / f"swapped.{kind}"
    written = {"images": IMAGES, "redshift": REDSHIFT, "id": IDS, "dec": np.zeros(ROWS)}

    @damage.quick(10 if kind == "h5" else 40)
    @given(st.sampled_from(kinds), st.sampled_from(targets), st.sampled_from(shapes))
    def swap(dtype, target, shape):
        columns = written | {target: np.ones(shape).astype(dtype)}
        if kind == "npz":
            np.savez(path, **columns)
        else:
            columns = {k: v for k, v in columns.items() if v.dtype.kind not in "Um"}
            with h5py.File(path, "w") as file:
                for name, column in columns.items():
                    file[name] = column
        use(FileSpec.create(file=path, bands=("g", "r"), pixel_scale=0.2))

    swap()
