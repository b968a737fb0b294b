"""Targets that are data: files of images and tables.

A target is a function that makes good files in a folder and returns {file name: kind of
damage} and a function that uses the files as a command does, and checks what it got.
"""

import csv
import io
import json

import h5py
import numpy as np
from astropy.io import fits

ROWS = 5
BANDS = ("g", "r")
IMAGES = np.random.default_rng(2).normal(1, 0.2, (ROWS, 2, 16, 16)).astype("f4")
LABELS = {
    "redshift": np.linspace(0.1, 0.9, ROWS),
    "id": np.array([f"n{row}" for row in range(ROWS)]),
    "ra": np.linspace(150, 151, ROWS),
    "dec": np.linspace(2, 3, ROWS),
}


def use_spec(spec):
    """Does what importing and predicting do with a file, but for building it."""
    from kphotoz.files_in.importing import row_flags, row_groups
    from kphotoz.files_in.readers import open_survey_file
    from kphotoz.files_in.stream import open_stream

    spec.check_photometry()
    with open_survey_file(spec) as file:
        if spec.labelled:
            file.require("redshift")
        flags, groups = row_flags(file), row_groups(file)
        assert len(file) == len(flags) == len(groups)
        assert all(column.shape == (len(file),) for column in file.table.values())
        if spec.labelled:
            redshifts = file.table["redshift"][flags == ""]
            assert ((redshifts >= 0) & (redshifts < 90)).all(), redshifts
    stream = open_stream(spec)
    try:
        _check_chunks(stream)
    finally:
        stream.close()


def _check_chunks(stream):
    """Checks that every row comes once, and is a finite float32 or flagged."""
    ids, rows = stream.table["id"], 0
    for start, inputs, flags in stream.chunks(2):
        assert start == rows and inputs.dtype == np.float32
        assert inputs.shape == (len(flags), *stream.input_shape)
        usable = inputs[flags == ""]
        assert not np.isinf(usable).any(), usable
        # A band of a catalogue that was not observed is NaN; a pixel never is.
        seen = np.isfinite(usable)
        if stream.kind == "catalog":
            assert seen[..., 0].any(axis=1).all(), usable
        else:
            assert seen.all(), usable
        rows += len(inputs)
    assert rows == len(ids) and all(type(name) is str for name in ids)


def use_images(path):
    from kphotoz.files_in.file_spec import FileSpec

    fields = {"bands": BANDS, "pixel_scale": 0.2, "photometry": "unknown"}
    return lambda: use_spec(FileSpec.create(file=path, **fields))


def write_hdf5(path, images=IMAGES, labels=LABELS, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **options)
        file["images"].attrs["bands"] = ",".join(BANDS)
        for name, column in labels.items():
            column = column.astype("S") if column.dtype.kind == "U" else column
            file[name] = column


def hdf5(folder):
    write_hdf5(folder / "a.h5", chunks=(1, 2, 16, 16), compression="gzip")
    return {"a.h5": "hdf5"}, use_images(folder / "a.h5")


def hdf5_plain(folder):
    write_hdf5(folder / "a.h5")
    return {"a.h5": "hdf5"}, use_images(folder / "a.h5")


def npz(folder):
    np.savez(folder / "a.npz", images=IMAGES, **LABELS)
    return {"a.npz": "zip"}, use_images(folder / "a.npz")


def npz_deflated(folder):
    np.savez_compressed(folder / "a.npz", images=IMAGES, **LABELS)
    return {"a.npz": "zip"}, use_images(folder / "a.npz")


def beam(folder):
    """What a worker of Beam does with its pieces of a file."""
    from kphotoz.files_in.file_spec import FileSpec
    from kphotoz.files_in.stream import open_stream
    from kphotoz.prediction import rows
    from kphotoz.prediction.beam import _Read

    np.savez_compressed(folder / "a.npz", images=IMAGES, **LABELS)
    fields = {"bands": BANDS, "pixel_scale": 0.2, "photometry": "unknown"}

    def use():
        spec = FileSpec.create(file=folder / "a.npz", **fields)
        stream = open_stream(spec)
        names, pieces = list(rows.kinds([stream])), rows.shards([stream], 2)
        stream.close()
        reader, count = _Read([spec], 2, names), 0
        reader.setup()
        try:
            for batch in (batch for piece in pieces for batch in reader.process(piece)):
                count += len(batch["flags"])
                usable = batch["inputs"][batch["flags"] == ""]
                assert np.isfinite(usable).all()
                assert {len(x) for x in batch["columns"].values()} == {
                    len(batch["flags"])
                }
        finally:
            reader.teardown()
        assert count == len(stream)

    return {"a.npz": "zip"}, use


# How a folder of FITS cutouts comes: its table, and what the cutouts are.
def cutouts(folder, write):
    folder.mkdir(exist_ok=True)
    names = np.array([f"{row}.fits" for row in range(ROWS)])
    for name, image in zip(names, IMAGES, strict=True):
        fits.PrimaryHDU(image).writeto(folder / name, overwrite=True)
    write({"image": names, **LABELS})


def fits_cutouts(folder):
    inside = folder / "cutouts"
    cutouts(inside, lambda columns: write_csv(inside / "table.csv", columns))
    planes = zip(IMAGES[1], BANDS, strict=True)
    hdus = [fits.ImageHDU(plane, name=band) for plane, band in planes]
    hdus.insert(0, fits.PrimaryHDU())
    fits.HDUList(hdus).writeto(inside / "1.fits", overwrite=True)
    for row, packing in ((2, "RICE_1"), (3, "GZIP_2")):
        packed = fits.CompImageHDU(IMAGES[row, 0].round(2), compression_type=packing)
        hdus = fits.HDUList([fits.PrimaryHDU(), packed])
        hdus.writeto(inside / f"{row}.fits", overwrite=True)
    files = {f"cutouts/{row}.fits": "fits" for row in range(4)}
    return files, use_images(inside)


def fits_cutouts_table(folder):
    inside = folder / "cutouts"
    cutouts(inside, lambda columns: write_csv(inside / "table.csv", columns))
    return {"cutouts/table.csv": "text"}, use_images(inside)


def fits_cutouts_fits(folder):
    inside = folder / "cutouts"
    cutouts(inside, lambda columns: write_fits(inside / "table.fits", columns))
    return {"cutouts/table.fits": "fits"}, use_images(inside)


def fits_cutouts_parquet(folder):
    inside = folder / "cutouts"
    cutouts(inside, lambda columns: write_parquet(inside / "table.parquet", columns))
    return {"cutouts/table.parquet": "parquet"}, use_images(inside)


def write_csv(path, columns):
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
    writer.writerow(columns)
    rows = (np.asarray(column).tolist() for column in columns.values())
    writer.writerows(zip(*rows, strict=True))
    path.write_text(stream.getvalue())


def write_fits(path, columns):
    from astropy.table import Table

    Table(columns).write(path, format="fits", overwrite=True)


def write_ecsv(path, columns):
    from astropy.table import Table

    Table(columns).write(path, format="ascii.ecsv", overwrite=True)


def write_parquet(path, columns):
    import pyarrow
    from pyarrow import parquet

    columns = {key: np.asarray(value).tolist() for key, value in columns.items()}
    parquet.write_table(pyarrow.table(columns), path, row_group_size=3)


WRITERS = {"csv": write_csv, "tsv": write_csv, "ecsv": write_ecsv}
WRITERS |= {"fits": write_fits, "parquet": write_parquet}
DAMAGE = {"csv": "text", "tsv": "text", "ecsv": "text", "fits": "fits"}
DAMAGE |= {"parquet": "parquet"}


def photometry():
    table = {"id": LABELS["id"], "redshift": LABELS["redshift"]}
    random = np.random.default_rng(3)
    for band in BANDS:
        table[f"mag_{band}"] = random.uniform(20, 22, ROWS)
        table[f"err_{band}"] = random.uniform(0.01, 0.1, ROWS)
    return table


def catalogue(suffix):
    def target(folder):
        from kphotoz.files_in.catalog_spec import CatalogSpec

        path = folder / f"a.{suffix}"
        WRITERS[suffix](path, photometry())
        fields = {
            "bands": BANDS,
            "magnitudes": tuple(f"mag_{band}" for band in BANDS),
            "magnitude_errors": tuple(f"err_{band}" for band in BANDS),
            "photometry": "unknown",
        }
        use = lambda: use_spec(CatalogSpec.create(file=path, **fields))  # noqa: E731
        return {path.name: DAMAGE[suffix]}, use

    return target


def arrays(suffix):
    """A table with columns of arrays, text, and gaps."""

    def target(folder):
        from kphotoz.files_in.catalog_spec import CatalogSpec

        path = folder / f"a.{suffix}"
        table = photometry()
        pairs = {
            name: np.stack([table.pop(f"{name}_{band}") for band in BANDS], 1)
            for name in ("mag", "err")
        }
        WRITERS[suffix](path, table | pairs)
        fields = {
            "bands": BANDS,
            "magnitudes": ("mag[0]", "mag[1]"),
            "magnitude_errors": ("err[0]", "err[1]"),
            "photometry": "unknown",
        }
        use = lambda: use_spec(CatalogSpec.create(file=path, **fields))  # noqa: E731
        return {path.name: DAMAGE[suffix]}, use

    return target


def evaluated(suffix):
    def target(folder):
        rows = 12
        table = {
            "id": np.arange(rows) + 10**17,
            "z_pred": np.linspace(0.1, 0.9, rows),
            "z_true": np.linspace(0.12, 0.91, rows),
            "magnitude": np.linspace(18, 22, rows),
            "field": np.array(["a", "b"] * (rows // 2)),
        }
        path, other = folder / f"a.{suffix}", folder / "other.csv"
        WRITERS[suffix](path, table)
        write_csv(other, table)
        single = ["--by", "field", "--by", "magnitude", "--draws", "5", "--json"]

        def use():
            _check_metrics(command("evaluate", str(path), *single))
            command("evaluate", str(path), str(other), "--draws", "5")

        return {path.name: DAMAGE[suffix]}, use

    return target


def _check_metrics(output):
    """Checks that values are numbers or missing, and rates between 0 and 1."""
    found = json.loads(output[output.index("{") :], parse_constant=_refuse)
    for row in found["rows"]:
        value, rate = row["value"], row["metric"] in ("outlier_015", "catastrophic")
        assert value is None or abs(value) < (1.001 if rate else np.inf), row
        assert row["n"] >= 0, row


def _refuse(name):
    raise AssertionError(f"{name} is no JSON")


def command(name, *arguments):
    """Runs a command of ours in this process; its output must be printable."""
    import importlib

    from click.testing import CliRunner

    module = importlib.import_module(f"kphotoz_cli.{name}")
    found = CliRunner().invoke(module.command, arguments, catch_exceptions=True)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code in (0, 2), found.output
    return found.stdout


TARGETS = {
    "beam": (beam, 150),
    "hdf5": (hdf5, 300),
    "hdf5_plain": (hdf5_plain, 150),
    "npz": (npz, 500),
    "npz_deflated": (npz_deflated, 300),
    "fits_cutouts": (fits_cutouts, 500),
    "fits_cutouts_table": (fits_cutouts_table, 300),
    "fits_cutouts_fits": (fits_cutouts_fits, 300),
    "fits_cutouts_parquet": (fits_cutouts_parquet, 300),
    **{f"catalogue_{suffix}": (catalogue(suffix), 400) for suffix in WRITERS},
    "arrays_fits": (arrays("fits"), 300),
    "arrays_parquet": (arrays("parquet"), 300),
    **{f"evaluate_{suffix}": (evaluated(suffix), 300) for suffix in WRITERS},
}
